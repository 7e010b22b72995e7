package api

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/hoist-sh/hoist"
)

type (
	// handler answers an authenticated request with a value to be shown as
	// JSON, or a reply.
	handler func(c *call) (any, error)
	// appHandler does so for an app on which the account may work.
	appHandler func(c *call, a hoist.App) (any, error)
)

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	on := func(pattern string, h handler) { mux.Handle(pattern, s.authenticated(h)) }
	onApp := func(method, path string, h appHandler) {
		on(method+" /apps/{app}"+path, func(c *call) (any, error) {
			a, err := s.DB.App(c.Context(), c.account.ID, c.PathValue("app"))
			if err != nil {
				return nil, &resourceError{err, "app"}
			}
			return h(c, a)
		})
	}
	s.accountRoutes(on)
	s.authorizationRoutes(on)
	s.keyRoutes(on)
	s.appRoutes(on, onApp)
	s.collaboratorRoutes(onApp)
	s.configRoutes(onApp)
	s.formationRoutes(onApp)
	s.dynoRoutes(onApp)
	s.releaseRoutes(onApp)
	s.slugRoutes(onApp)
	s.sourceRoutes(on, onApp)
	s.buildRoutes(onApp)
	s.buildpackRoutes(onApp)
	s.domainRoutes(onApp)
	s.logSessionRoutes(onApp)
	s.platformRoutes(on, onApp)
	s.absentRoutes(on, onApp)

	mux.HandleFunc("GET /builds/{build}/output", s.buildOutput)
	mux.HandleFunc("GET /buildpacks/{name...}", s.buildpackRegistry)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "This is hoist: it speaks Heroku's Platform API v3.\n\n"+
			"  HEROKU_HOST=%s heroku login -i\n  hoist login %[1]s\n", strings.TrimSuffix(s.Public.API(), "/"))
	})
	on("/", func(*call) (any, error) {
		return nil, &hoist.Error{ID: "not_found", Message: "The requested API endpoint was not found. Are you using the right HTTP verb and path?", Status: http.StatusNotFound}
	})
	return s.common(mux)
}

// common is what every request goes through: an ID, and protection from
// panics, other versions and texts that are none.
func (s *Server) common(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Request-Id")
		if uuid.Validate(id) != nil {
			id = r.Header.Get("X-Request-Id")
		}
		if uuid.Validate(id) != nil {
			id = hoist.NewID()
		}
		w.Header().Set("Request-Id", id)
		w.Header().Set("Vary", "Accept, Authorization")
		w.Header().Set("Cache-Control", "private, no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		defer func() {
			if what := recover(); what != nil {
				if what == http.ErrAbortHandler {
					panic(what)
				}
				s.Log.Error("panic", "request", id, "what", what, "stack", string(debug.Stack()))
				s.fail(w, r, fmt.Errorf("panic: %v", what))
			}
		}()
		if !utf8.ValidString(r.URL.Path) || strings.ContainsRune(r.URL.Path, 0) {
			s.fail(w, r, badRequest("The path is not text."))
			return
		}
		tidyPath(r.URL)
		if err := acceptVersion(r.Header.Get("Accept")); err != nil {
			s.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// tidyPath drops what clients put into paths by mistake, as by a host that ends
// in a slash: ServeMux would send them elsewhere, in HTML.
func tidyPath(u *url.URL) {
	tidy := path.Clean("/" + u.EscapedPath())
	if plain, err := url.PathUnescape(tidy); err == nil {
		u.Path, u.RawPath = plain, tidy
	}
}

// authenticated lets requests through that bear a token, at a bounded rate.
func (s *Server) authenticated(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := s.authenticate(r)
		if err != nil {
			s.respond(w, r, nil, err)
			return
		}
		left, ok := s.requests.allow(c.account.ID)
		w.Header().Set("RateLimit-Remaining", strconv.Itoa(left))
		if !ok {
			s.respond(w, r, nil, tooMany("Your account reached its rate limit. Wait a few seconds and try again."))
			return
		}
		body, err := h(c)
		s.respond(w, r, body, err)
	})
}
