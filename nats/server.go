// Package nats is the message bus: an embedded NATS server and a client that
// implements hoist.Bus. The client works the same with any NATS server that
// has JetStream.
package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Config is what an embedded server needs.
type Config struct {
	Dir   string            // JetStream's files; made if missing
	Addr  string            // "ip:port"; port 0 picks a free one
	Users map[string]string // passwords of the components' users, and of ComponentSeed
	Log   *slog.Logger
}

// Server is an embedded NATS server.
type Server struct {
	srv   *server.Server
	users map[string]string
}

// StartServer starts a server and returns when its streams are ready.
func StartServer(cfg Config) (*Server, error) {
	host, p, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("nats: address: %w", err)
	}
	port, err := strconv.Atoi(p)
	if err != nil {
		return nil, fmt.Errorf("nats: port %q is not a number", p)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	opts := &server.Options{
		ServerName:         "hoist",
		Host:               host,
		Port:               port,
		NoSigs:             true,
		JetStream:          true,
		StoreDir:           cfg.Dir,
		JetStreamMaxMemory: 64 << 20, // consumers only; streams are files
		JetStreamMaxStore:  2 * (logsMaxBytes + buildsMaxBytes),
		SyncInterval:       10 * time.Second,
		MaxPayload:         maxPayload,
		WriteDeadline:      10 * time.Second,
	}
	for name, password := range cfg.Users {
		if _, ok := grants[name]; !ok && name != ComponentSeed {
			return nil, fmt.Errorf("nats: %q is not a component", name)
		}
		opts.Users = append(opts.Users, &server.User{
			Username: name, Password: password, Permissions: permissions(name),
		})
	}
	if cfg.Users[ComponentSeed] == "" {
		return nil, errors.New("nats: no password for the seed's user")
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	fatal := make(chan string, 1)
	srv.SetLoggerV2(serverLog{cfg.Log.With("ground", "nats"), fatal}, false, false, false)
	srv.Start()
	s := &Server{srv: srv, users: cfg.Users}
	if err := s.ready(fatal, 30*time.Second); err != nil {
		s.Close()
		return nil, fmt.Errorf("nats: not ready on %s: %w", cfg.Addr, err)
	}
	bus, err := Connect(s.URL(ComponentSeed), cfg.Log)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err = bus.EnsureStreams(ctx)
		bus.Close()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// ready waits until the server takes connections, or has said why it never will.
func (s *Server) ready(fatal <-chan string, limit time.Duration) error {
	for begun := time.Now(); time.Since(begun) < limit; {
		if s.srv.ReadyForConnections(100 * time.Millisecond) {
			return nil
		}
		select {
		case text := <-fatal:
			return errors.New(text)
		default:
		}
	}
	return fmt.Errorf("nothing happened for %s; see the log", limit)
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.srv.Addr().String() }

// URL is the NATS_URL of a component.
func (s *Server) URL(component string) string {
	u := url.URL{Scheme: "nats", User: url.UserPassword(component, s.users[component]), Host: s.Addr()}
	return u.String()
}

// Wait returns when ctx ends (nil) or when the server no longer works: it
// switches JetStream off for good when the disk is full, for example.
func (s *Server) Wait(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if !s.srv.Running() {
				return errors.New("nats: the server ended")
			}
			if !s.srv.JetStreamEnabled() {
				return errors.New("nats: JetStream was switched off (disk full?)")
			}
		}
	}
}

// Close stops the server and waits until its files are written.
func (s *Server) Close() {
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
}

// serverLog passes on what the server says from warnings upwards; its notices
// are about itself. What ends it goes to fatal, too.
type serverLog struct {
	log   *slog.Logger
	fatal chan<- string
}

func (l serverLog) Noticef(string, ...any) {}
func (l serverLog) Debugf(string, ...any)  {}
func (l serverLog) Tracef(string, ...any)  {}
func (l serverLog) Warnf(format string, v ...any) {
	// Ours are random and as long as a key; hashing them would gain nothing.
	if !strings.HasPrefix(format, "Plaintext passwords") {
		l.log.Warn(fmt.Sprintf(format, v...))
	}
}
func (l serverLog) Errorf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }
func (l serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.log.Error(text)
	select {
	case l.fatal <- text:
	default:
	}
}
