package git

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/socket"
)

// serveHTTP takes requests until ctx ends, and lets those under way go on.
func (s *Server) serveHTTP(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       90 * time.Second,
	}
	if err := socket.ServeHTTP(ctx, srv, l, s.Drain+cutGrace); err != nil {
		return fmt.Errorf("http: %w", err)
	}
	return nil
}

// handler is git's smart HTTP protocol (gitprotocol-http(5)). The dumb one,
// which asks for files, is refused.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{repo}/info/refs", func(w http.ResponseWriter, r *http.Request) {
		switch name := r.URL.Query().Get("service"); name {
		case "git-" + string(uploadPack):
			s.serveGit(w, r, session{service: uploadPack, advertise: true})
		case "git-" + string(receivePack):
			s.serveGit(w, r, session{service: receivePack, advertise: true})
		default:
			http.Error(w, "Only git's smart HTTP protocol works here; this git is too old.", http.StatusForbidden)
		}
	})
	for _, service := range []service{uploadPack, receivePack} {
		mux.HandleFunc("POST /{repo}/git-"+string(service), func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Content-Type") != "application/x-git-"+string(service)+"-request" {
				http.Error(w, "This address is for git.", http.StatusUnsupportedMediaType)
				return
			}
			s.serveGit(w, r, session{service: service})
		})
	}
	return mux
}

// serveGit answers one request, of which ses says what it is.
func (s *Server) serveGit(w http.ResponseWriter, r *http.Request, ses session) {
	account, app, err := s.identify(r)
	if err != nil {
		s.httpError(w, err)
		return
	}
	answer := &answer{w: w, control: http.NewResponseController(w)}
	ses.Server, ses.account, ses.app, ses.stateless = s, account, app, true
	ses.in, ses.out = http.NoBody, answer
	if p := r.Header.Get("Git-Protocol"); validProtocol(p) {
		ses.protocol = p
	}
	kind := "result"
	if ses.advertise {
		kind = "advertisement"
		if ses.service == receivePack || !strings.Contains(ses.protocol, "version=2") {
			line := "# service=git-" + string(ses.service) + "\n"
			answer.prefix = fmt.Sprintf("%04x%s0000", len(line)+4, line)
		}
	} else if ses.in, err = requestBody(w, r, s.inputLimit(ses.service)); err != nil {
		http.Error(w, "This is not gzip.", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-git-"+string(ses.service)+"-"+kind)
	w.Header().Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
	err = ses.run(r.Context())
	switch {
	case err == nil || r.Context().Err() != nil:
	case answer.sent:
		panic(http.ErrAbortHandler) // the answer must not look complete
	default:
		s.httpError(w, err)
	}
}

// identify returns who asks, by an API token as the password of any user, and
// for which app.
func (s *Server) identify(r *http.Request) (hoist.Account, hoist.App, error) {
	_, token, ok := r.BasicAuth()
	if !ok || token == "" {
		return hoist.Account{}, hoist.App{}, hoist.ErrUnauthorized
	}
	hash := sha256.Sum256([]byte(token))
	account, scope, err := s.DB.AccountByTokenHash(r.Context(), hash[:])
	if errors.Is(err, hoist.ErrNotFound) || err == nil && !slices.Contains(scope, "global") {
		return account, hoist.App{}, hoist.ErrUnauthorized
	}
	if err != nil {
		return account, hoist.App{}, err
	}
	app, err := s.appAt(r.Context(), account, r.PathValue("repo"))
	return account, app, err
}

// httpError answers with an error; git shows the text to the person.
func (s *Server) httpError(w http.ResponseWriter, err error) {
	w.Header().Del("Cache-Control")
	if errors.Is(err, hoist.ErrUnauthorized) {
		w.Header().Set("WWW-Authenticate", `Basic realm="hoist"`)
		http.Error(w, "Log in with an API token as the password (hoist login).", http.StatusUnauthorized)
		return
	}
	status := http.StatusNotFound
	if _, ok := errors.AsType[refusal](err); !ok {
		status = http.StatusServiceUnavailable
		s.Log.Error("http", "err", err)
	}
	http.Error(w, forPeople(err), status)
}
