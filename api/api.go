// Package api is the component that speaks Heroku's Platform API v3
// (https://devcenter.heroku.com/articles/platform-api-reference) over the
// database. It is the only writer of desired state: it makes releases, also
// those of builds, and collects what nobody needs any more.
package api

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/socket"
	"golang.org/x/sync/errgroup"
)

// DB is what the component needs of the database.
type DB interface {
	// Migrate brings the schema up to date.
	Migrate(ctx context.Context) error
	// Ping tells an absent database from other errors.
	Ping(ctx context.Context) error

	accountDB
	authorizationDB
	keyDB
	appDB
	collaboratorDB
	configDB
	formationDB
	dynoDB
	releaseDB
	slugDB
	buildDB
	buildpackDB
	domainDB
	logSessionDB
	releaserDB
	collectorDB
	clockDB
}

// Config is what a Server is made from.
type Config struct {
	DB     DB
	Bus    hoist.Bus
	Blobs  hoist.Blobs
	Public hoist.Public
	// Stack is the name of the only stack there is, e.g. "debian-12".
	Stack string
	// BuiltIn are the buildpacks that come with the platform: from each name
	// people call them by, such as "heroku/go", to the one kept, "hoist/go".
	BuiltIn map[string]string
	// SigningKey signs the URLs of builds' output; the same for all API
	// processes.
	SigningKey []byte
	// Proven is closed when this process may make releases and collect; it
	// answers requests before. nil: at once.
	Proven <-chan struct{}
	// Drain is how long requests under way, builds' output for instance, may go
	// on when the process is told to stop; default 5 s.
	Drain time.Duration
	Log   *slog.Logger
}

// Server is the component.
type Server struct {
	Config
	listener net.Listener
	handler  http.Handler
	requests *limiters // by account
	logins   *limiters // by e-mail address and by client address
	passages chan struct{}
	waitsFor atomic.Pointer[string]

	launchPatience  time.Duration // for new web dynos; shorter in tests
	rolloutPatience time.Duration // for the seed's word; shorter in tests
	rolloutNews     time.Duration
}

// New makes a Server that will serve on l.
func New(l net.Listener, c Config) *Server {
	c.Proven = hoist.Proven(c.Proven)
	c.Drain = cmp.Or(c.Drain, 5*time.Second)
	s := &Server{
		Config:          c,
		listener:        l,
		requests:        newLimiters(requestsPerMinute/60.0, requestBurst),
		logins:          newLimiters(loginsPerMinute/60.0, loginBurst),
		passages:        make(chan struct{}, 2),
		launchPatience:  launchPatience,
		rolloutPatience: rolloutPatience,
		rolloutNews:     rolloutNews,
	}
	s.handler = s.routes()
	s.setWaitsFor("its database schema")
	return s
}

func (s *Server) setWaitsFor(what string) { s.waitsFor.Store(&what) }

// WaitsFor is what it lacks, for people: the schema, until that is brought up to date.
func (s *Server) WaitsFor() string { return *s.waitsFor.Load() }

// Run serves the API, releases what was built and collects garbage until ctx
// ends. Without a database it waits for it, and answers 503 meanwhile.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.serve(ctx) })
	g.Go(func() error {
		if err := s.migrate(ctx); err != nil {
			return err
		}
		select {
		case <-s.Proven:
		case <-ctx.Done():
			return ctx.Err()
		}
		work, ctx := errgroup.WithContext(ctx)
		work.Go(func() error { return s.release(ctx) })
		work.Go(func() error { return s.collect(ctx) })
		work.Go(func() error { return s.watchClock(ctx) })
		return work.Wait()
	})
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// serve answers requests until ctx ends, then lets those under way end.
func (s *Server) serve(ctx context.Context) error {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	s.Log.Info("serving the API", "address", s.listener.Addr().String(), "url", s.Public.API())
	if err := socket.ServeHTTP(ctx, server, s.listener, s.Drain); err != nil {
		return err
	}
	return ctx.Err()
}

// migrate waits for the database and brings its schema up to date.
func (s *Server) migrate(ctx context.Context) error {
	last := ""
	for {
		err := s.DB.Migrate(ctx)
		if err == nil {
			s.setWaitsFor("")
			return nil
		}
		if text := err.Error(); text != last && ctx.Err() == nil {
			s.Log.Warn("waiting for the database", "err", err)
			s.setWaitsFor("its database schema: " + text)
			last = text
		}
		if !sleep(ctx, 500*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// sleep waits; it reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
