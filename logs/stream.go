package logs

import (
	"context"
	"crypto/sha256"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// stream is GET /streams/TOKEN. The token is the only secret and the session
// it stands for says what may be read: the URL's parameters (lines, tail,
// source, dyno, srv) are there for the client, which infers from them.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case s.readers <- struct{}{}:
		defer func() { <-s.readers }()
	default:
		refuse(w, http.StatusServiceUnavailable, "Too many people read logs just now. Try again in a minute.")
		return
	}
	session, err := s.connect(r.Context(), r.PathValue("token"))
	switch {
	case errors.Is(err, hoist.ErrNotFound):
		refuse(w, http.StatusNotFound, "Couldn't find that log session. It may have expired: run `hoist logs` again for a new one.")
		return
	case err != nil:
		s.log.Warn("cannot look up a log session", "err", err)
		refuse(w, http.StatusServiceUnavailable, "Logs are not available just now: waiting for the database. Try again in a minute.")
		return
	}
	leave, tooMany := s.places.take(session)
	if tooMany != "" {
		refuse(w, http.StatusTooManyRequests, tooMany)
		return
	}
	defer leave()
	ctx, cancel := context.WithDeadline(r.Context(), session.CreatedAt.Add(hoist.LogSessionTail))
	defer cancel()

	out := newWriter(w, r)
	after, resumed := parseCursor(r.Header.Get("Last-Event-ID"))
	lines := min(max(session.Lines, 0), hoist.LogKeep)
	if resumed {
		lines = math.MaxInt // all it has not seen, and what is missing of it
	}
	from := place{cursor: after, filter: filter{session.Source, session.Dyno}}
	h := &history{memory: &s.memory}
	defer h.free()
	if session.Tail {
		s.tail(ctx, cancel, out, session, from, lines, h)
		return
	}
	patience, cancel := context.WithTimeout(ctx, busPatience)
	defer cancel()
	if _, err := s.patientHistory(patience, session.AppID, from, lines, h); err != nil {
		refuse(w, http.StatusServiceUnavailable, "Logs are not available just now: waiting for the message bus. Try again in a minute.")
		return
	}
	if out.open() == nil {
		out.write(h.entries())
	}
}

// connect finds the session, waiting a little for the database.
func (s *Server) connect(ctx context.Context, token string) (hoist.LogSession, error) {
	hash := sha256.Sum256([]byte(token))
	ctx, cancel := context.WithTimeout(ctx, dbPatience)
	defer cancel()
	for {
		session, err := s.sessions.ConnectLogSession(ctx, hash[:])
		if err == nil || errors.Is(err, hoist.ErrNotFound) {
			return session, err
		}
		select {
		case <-ctx.Done():
			return hoist.LogSession{}, err
		case <-time.After(retryEvery):
		}
	}
}

// tail writes history and then what is new until ctx ends, the reader goes, or
// the session is no more (cancel is called then).
func (s *Server) tail(ctx context.Context, cancel func(), out *writer, session hoist.LogSession, from place, lines int, h *history) {
	// A reader that got the headers expects all that comes from then on, so
	// history is read first; but it does not wait for a bus that is away.
	try, stop := context.WithTimeout(ctx, headerPatience)
	end, historyErr := s.history(try, session.AppID, from, lines, h)
	stop()
	s.busIs(historyErr)
	if out.open() != nil {
		return
	}
	if historyErr == nil && len(h.lines) == 0 && out.place(end.cursor) != nil {
		return
	}
	b := newBacklog()
	done := make(chan struct{})
	defer func() { cancel(); <-done }()
	go func() {
		defer close(done)
		if historyErr != nil {
			if end, historyErr = s.patientHistory(ctx, session.AppID, from, lines, h); historyErr != nil {
				return
			}
		}
		select {
		case b.first <- h.entries():
		case <-ctx.Done():
		}
		s.follow(ctx, session.AppID, end, b)
	}()
	alive := time.NewTicker(s.keepAlive)
	defer alive.Stop()
	checked := time.Now()
	for {
		entries, at := b.take(ctx, alive.C)
		if ctx.Err() != nil {
			return
		}
		err := out.write(entries)
		if len(entries) > 0 {
			h.free() // these were the history, or came after it
		} else if err == nil {
			err = errors.Join(out.comment(s.sign()), out.place(at))
		}
		if err != nil {
			return
		}
		if time.Since(checked) > s.recheck {
			checked = time.Now()
			if there, err := s.sessions.LogSessionExists(ctx, session.ID); err == nil && !there {
				return
			}
		}
	}
}

// sign is what a quiet reader is told.
func (s *Server) sign() string {
	if what := s.WaitsFor(); what != "" {
		return "waiting for the " + what
	}
	return "nothing new"
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "10")
	}
	http.Error(w, message, status)
}

// wantsEvents reports whether the client asked for server-sent events: v10 and
// later of the Heroku CLI do; browsers and older ones get plain text.
func wantsEvents(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}
