// Package natstest starts a real NATS server for tests.
package natstest

import (
	"log/slog"
	"testing"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/nats"
)

// Server is a running bus of the test's own, ended with the test.
type Server struct {
	t   testing.TB
	cfg nats.Config
	srv *nats.Server
}

// New starts a server on a free port of 127.0.0.1, with a user for each
// component.
func New(t testing.TB) *Server {
	t.Helper()
	users := map[string]string{nats.ComponentSeed: "test"}
	for _, c := range hoist.Components {
		users[c] = "test"
	}
	s := &Server{t: t, cfg: nats.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", Users: users, Log: Log(t)}}
	t.Cleanup(s.Stop)
	s.Start()
	s.cfg.Addr = s.srv.Addr() // the same after a restart
	return s
}

// Start starts the server again, on the same address, with what it had.
func (s *Server) Start() {
	s.t.Helper()
	if s.srv != nil {
		return
	}
	srv, err := nats.StartServer(s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.srv = srv
}

// Stop ends the server; its files stay.
func (s *Server) Stop() {
	if s.srv != nil {
		s.srv.Close()
		s.srv = nil
	}
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.srv.Addr() }

// URL is the component's NATS_URL. The server must be running.
func (s *Server) URL(component string) string { return s.srv.URL(component) }

// Bus connects as a component, with its permissions only; it is closed with
// the test.
func (s *Server) Bus(component string) *nats.Bus {
	s.t.Helper()
	bus, err := nats.Connect(s.URL(component), Log(s.t))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(bus.Close)
	return bus
}

// Log is a logger that writes to the test's log.
func Log(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }
