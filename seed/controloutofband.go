package seed

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/hoist-sh/hoist"
)

// outOfBand serves what a person does on the machine itself, with API, database and bus away.
func (s *Seed) outOfBand(mux *http.ServeMux) {
	answer := func(w http.ResponseWriter, value any, err error) {
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			e, ok := hoist.AsError(err)
			if !ok {
				e = &hoist.Error{ID: "seed", Message: err.Error()}
			}
			w.WriteHeader(http.StatusUnprocessableEntity)
			value = e
		}
		json.NewEncoder(w).Encode(value)
	}
	mux.HandleFunc("GET /circles", func(w http.ResponseWriter, r *http.Request) { answer(w, s.circles(), nil) })
	mux.HandleFunc("GET /releases", func(w http.ResponseWriter, r *http.Request) { answer(w, s.system.releases(), nil) })
	mux.HandleFunc("POST /rollback", func(w http.ResponseWriter, r *http.Request) {
		version, _ := strconv.Atoi(r.FormValue("version")) // 0: the one before
		to, err := s.system.rollback(version)
		answer(w, to, err)
	})
	mux.HandleFunc("POST /rescue", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, s.system.rescue(r.FormValue("component"), r.FormValue("back") == "true"))
	})
	mux.HandleFunc("GET /provable", func(w http.ResponseWriter, r *http.Request) {
		list, err := s.system.provable(r.Context())
		answer(w, list, err)
	})
	mux.HandleFunc("POST /prove", func(w http.ResponseWriter, r *http.Request) {
		why := ""
		if err := s.system.proveNow(r.Context(), r.FormValue("id")); err != nil {
			why = err.Error()
		}
		answer(w, why, nil)
	})
	mux.HandleFunc("POST /run", s.serveRun)
}

// ask calls the seed and reads its answer.
func ask(ctx context.Context, s Settings, method, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	body, err := call(ctx, s, method, path)
	if err != nil {
		return err
	}
	var refused hoist.Error
	if json.Unmarshal(body, &refused) == nil && refused.Message != "" {
		return errors.New(refused.Message)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}

// AskCircles asks a running seed for the circles of what it runs.
func AskCircles(ctx context.Context, s Settings) (c Circles, err error) {
	return c, ask(ctx, s, http.MethodGet, "/circles", nil, &c)
}

// AskReleases asks a running seed for the releases that it knows by itself, the newest first.
func AskReleases(ctx context.Context, s Settings) (list []SystemRelease, err error) {
	return list, ask(ctx, s, http.MethodGet, "/releases", nil, &list)
}

// Rollback has a running seed go back to a release of the platform's own app, 0 for the one before,
// and returns its version.
func Rollback(ctx context.Context, s Settings, version int) (to int, err error) {
	return to, ask(ctx, s, http.MethodPost, "/rollback", url.Values{"version": {strconv.Itoa(version)}}, &to)
}

// Rescue has a running seed do a component's work, or give it back to the dynos.
func Rescue(ctx context.Context, s Settings, component string, back bool) error {
	return ask(ctx, s, http.MethodPost, "/rescue", url.Values{"component": {component}, "back": {strconv.FormatBool(back)}}, nil)
}
