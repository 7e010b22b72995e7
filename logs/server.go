// Package logs serves people the logs of their apps. Lines come from the bus,
// where every dyno, the router and the platform append them to one stream for
// each app; this component keeps nothing, so any number of copies may run.
package logs

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/socket"
)

// Times of the component.
const (
	keepAlive      = 15 * time.Second // between signs of life to a quiet reader
	writePatience  = time.Minute      // for a reader that takes nothing
	busPatience    = 10 * time.Second // for history, at one try
	headerPatience = 2 * time.Second  // for history, before a tail's headers
	dbPatience     = 5 * time.Second
	retryEvery     = 250 * time.Millisecond
	collectEvery   = time.Minute
	sessionRecheck = time.Minute
)

// Sessions is what the component needs of the database.
type Sessions interface {
	ConnectLogSession(ctx context.Context, tokenHash []byte) (hoist.LogSession, error)
	LogSessionExists(ctx context.Context, id hoist.ID) (bool, error)
	DeleteExpiredLogSessions(ctx context.Context) error
}

// Server is the component.
type Server struct {
	listener net.Listener
	sessions Sessions
	bus      hoist.Bus
	log      *slog.Logger
	drain    time.Duration

	readers   chan struct{} // a place for each reader
	places    places
	memory    atomic.Int64 // left for histories
	keepAlive time.Duration
	recheck   time.Duration

	mu      sync.Mutex
	busAway bool
}

// New makes the component. It closes l when it ends. drain is how long readers
// may stay when it is told to stop.
func New(l net.Listener, sessions Sessions, bus hoist.Bus, drain time.Duration, log *slog.Logger) *Server {
	s := &Server{
		listener: l, sessions: sessions, bus: bus, log: log, drain: drain,
		readers: make(chan struct{}, readerLimit), keepAlive: keepAlive, recheck: sessionRecheck,
	}
	s.places.taken = map[hoist.ID]int{}
	s.memory.Store(historyMemory)
	return s
}

// Run serves until ctx ends. Readers may stay for a while then; who is cut off
// comes back to another process with its Last-Event-ID.
func (s *Server) Run(ctx context.Context) error {
	readers, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	if s.drain == 0 {
		readers = ctx
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /streams/{token}", s.stream)
	web := &http.Server{
		Handler:           mux,
		BaseContext:       func(net.Listener) context.Context { return readers },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	go s.collect(ctx)
	go s.watchBus(ctx)
	s.log.Info("serving log sessions", "addr", s.listener.Addr())
	if err := socket.ServeHTTP(ctx, web, s.listener, max(s.drain, 2*time.Second)); err != nil {
		return err
	}
	return ctx.Err()
}

// WaitsFor says what the component lacks, for people; empty if nothing.
func (s *Server) WaitsFor() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busAway {
		return "message bus"
	}
	return ""
}

// busIs remembers whether the bus answered, and says so when that changes.
func (s *Server) busIs(err error) {
	if errors.Is(err, context.Canceled) {
		return // the reader went, not the bus
	}
	s.mu.Lock()
	changed := s.busAway != (err != nil)
	s.busAway = err != nil
	s.mu.Unlock()
	if !changed {
		return
	}
	if err != nil {
		s.log.Warn("waiting for the message bus", "err", err)
	} else {
		s.log.Info("the message bus is there")
	}
}

// watchBus looks whether the bus is there, so that WaitsFor is true while
// nobody reads.
func (s *Server) watchBus(ctx context.Context) {
	tick := time.NewTicker(hoist.ResyncInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, hoist.ResyncInterval)
		_, err := s.history(try, "none", place{}, 0, &history{memory: &s.memory})
		cancel()
		s.busIs(err)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// collect removes expired sessions.
func (s *Server) collect(ctx context.Context) {
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	for {
		if err := s.sessions.DeleteExpiredLogSessions(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("cannot remove expired log sessions; trying again in a minute", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
