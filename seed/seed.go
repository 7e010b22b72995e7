// Package seed is the root process of the platform on a machine: it holds the
// public listening sockets, starts the ground (Postgres, NATS, blobs), keeps
// the secrets, and runs the components inside itself. It is the only part that
// is not an app.
package seed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hoist-sh/hoist"
)

// Config is what a seed needs beside its settings.
type Config struct {
	Settings
	Version string
	Log     *slog.Logger
	// RunComponent runs a component from its environment until ctx ends.
	RunComponent func(ctx context.Context, name string, environ []string, log *slog.Logger) error
	// Replaceable: Run may end with a *Replacement, to be begun again by the program of the
	// platform's release.
	Replaceable bool
	// Outside calls a function where what outlives the seed is to be started; nil for here.
	Outside func(start func() error) error
	// Held returns a socket that our predecessor handed over; nil if there is none.
	Held func(name string) (net.Listener, error)
	// Offer passes a listening socket to the components in this process.
	Offer func(name string, l *net.TCPListener)
	// Engine makes the engine of the platform's own dynos, called name, in dir;
	// nil if this process cannot make containers.
	Engine func(name, dir string, network netip.Prefix) (Engine, error)
	// HoldAddress makes an address the machine's own.
	HoldAddress func(netip.Addr) error
	// HoldNetwork makes those addresses of a network that no dyno has unreachable.
	HoldNetwork func(netip.Prefix) error
	// Stack and Region are those of the app that proofs are done with.
	Stack, Region string
	// Started, if set, is called when nothing can be wrong with the settings
	// any more: the data is ours and the ports are open.
	Started func() error
}

// Seed is the root process.
type Seed struct {
	cfg   Config
	log   *slog.Logger
	state *state
	use
	started    time.Time
	ground     []*task
	components []*inside
	sockets    map[string]*net.TCPListener
	system     *system
	ctx        context.Context // of the seed's life
	stop       context.CancelCauseFunc
	end        context.CancelFunc // somebody wants it to end, for whatever reason it stops
	own        struct {           // sockets that only the seed has
		sync.Mutex
		sockets map[string]net.Listener
	}
	held *os.File // the lock; it ends with the process, as do our other holds
}

// last keeps the seed, and so its lock, until the process has ended: who waits
// for the lock may rely on everything else being free then too.
var last atomic.Pointer[Seed]

// Run is the seed's life: it returns when ctx ends or somebody stops it, with
// the dynos left running, or with an error if it cannot start.
func Run(ctx context.Context, cfg Config) (err error) {
	s := &Seed{cfg: cfg, log: cfg.Log, started: time.Now()}
	last.Store(s)
	wanted, end := context.WithCancel(ctx)
	defer end()
	s.end = end
	ctx, s.stop = context.WithCancelCause(wanted)
	defer s.stop(nil)
	s.ctx = ctx
	if err := cfg.makeDir(); err != nil {
		return err
	}
	if s.held, err = lock(cfg.Settings); err != nil {
		return err
	}
	if err := cfg.countCrashes(cfg.Version); err != nil {
		s.log.Error("the seed's crashes cannot be counted", "err", err)
	}
	if s.state, err = loadState(cfg.file("seed.json"), s.ours); err != nil {
		return err
	}
	if err := cfg.ensureCerts(time.Now()); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if err := cfg.ensureHostKey(); err != nil {
		return fmt.Errorf("SSH host key: %w", err)
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	defer s.disconnect()
	if s.system, err = newSystem(s); err != nil {
		return err
	}
	defer s.system.close()
	if err := s.openPorts(); err != nil {
		return err
	}
	defer s.closePorts()
	s.makeTasks()
	control, err := s.listenControl()
	if err != nil {
		return err
	}
	defer control.Close()
	if err := saveSettings(cfg.Settings, cfg.DataDir); err != nil {
		return err
	}
	if cfg.Engine != nil {
		if err := cfg.HoldNetwork(cfg.dynoNetwork()); err != nil {
			return err
		}
	}
	if cfg.Started != nil {
		if err := cfg.Started(); err != nil {
			return err
		}
	}
	s.log.Info("seed", "version", cfg.Version, "data", cfg.DataDir, "components", cfg.Components)
	s.run(ctx)
	if r, ok := replaced(ctx); ok {
		if wanted.Err() == nil {
			return errors.Join(handOver(s.held), r)
		}
		// Somebody wanted it to end meanwhile, which the other program would not know.
		if err := stopPostgres(context.WithoutCancel(ctx), cfg.Settings); err != nil {
			return err
		}
	}
	s.log.Info("seed stopped; the dynos go on")
	return nil
}

// stopLimit is how long what is under way in components may go on when the seed
// is stopped.
const stopLimit = 20 * time.Second

// run keeps everything running until ctx ends, then ends the components
// before the ground they stand on.
func (s *Seed) run(ctx context.Context) {
	endGround := s.keepGround(ctx)
	var components sync.WaitGroup
	for _, c := range s.components {
		c.turn(!s.system.keeps(c.task.name))
	}
	components.Go(func() { s.system.run(ctx) })
	// Components wait for what they lack by themselves; starting those inside a little
	// later only saves them from saying so at every start, but not where Postgres has much to recover.
	for start := time.Now(); !up(s.ground) && ctx.Err() == nil && time.Since(start) < 2*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	for _, c := range s.components {
		components.Go(func() { c.keep(ctx, s.log) })
	}
	components.Go(func() { s.register(ctx) })
	components.Go(func() { s.serveProofs(ctx) })
	components.Go(func() { s.renewCerts(ctx) })
	components.Go(func() { s.watchClock(ctx) })
	components.Go(s.steady)
	<-ctx.Done()
	s.log.Info("stopping")
	if !waitFor(&components, stopLimit) {
		for _, t := range s.components {
			if t.task.status().State != stateStopped {
				s.log.Warn("did not end in time", "task", t.task.name)
			}
		}
	}
	endGround()
}

// keepGround keeps the ground running until end is called, which ends one part after the other: the blob
// store first, since its transfers may take a while, and the bus is there until then.
func (s *Seed) keepGround(ctx context.Context) (end func()) {
	var ends []func(limit context.Context)
	for _, t := range s.ground {
		below, stop := context.WithCancelCause(context.WithoutCancel(ctx))
		ended := make(chan struct{})
		go func() { t.keep(below, s.log); close(ended) }()
		ends = append(ends, func(limit context.Context) {
			stop(leaveIf(ctx))
			select {
			case <-ended:
			case <-limit.Done():
				s.log.Warn("did not end in time", "task", t.name)
			}
		})
	}
	return func() {
		limit, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for _, end := range slices.Backward(ends) {
			end(limit)
		}
	}
}

func up(tasks []*task) bool {
	return !slices.ContainsFunc(tasks, func(t *task) bool { return t.status().State != stateUp })
}

func waitFor(wg *sync.WaitGroup, limit time.Duration) bool {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}

func (s *Seed) makeTasks() {
	if s.cfg.DatabaseURL == "" {
		s.ground = append(s.ground, &task{name: "postgres", run: s.runPostgres})
	}
	if s.cfg.NATSURL == "" {
		s.ground = append(s.ground, &task{name: "nats", run: s.runNATS})
	} else {
		s.ground = append(s.ground, &task{name: "nats", run: s.prepareNATS})
	}
	if s.cfg.BlobURL == "" {
		s.ground = append(s.ground, &task{name: "blobs", run: s.runBlobs})
	}
	for _, name := range s.cfg.Components {
		s.components = append(s.components, newInside(&task{name: name, run: func(ctx context.Context, ready func()) error {
			ready()
			if name == hoist.ComponentRouter {
				inside, dynos := s.cfg.routerDirs()
				if err := passRoutes(dynos, inside); err != nil {
					s.log.Warn("the routes that a dyno knew", "err", err)
				}
			}
			env := Environ(s.cfg.Settings, s.state, name)
			if name != hoist.ComponentRuntime {
				env = append(env, "HOIST_DRAIN="+drain.String()) // when dynos take over
			}
			return s.cfg.RunComponent(ctx, name, env, s.log)
		}}))
	}
}

func (s *Settings) listenAddr(port int) string {
	return net.JoinHostPort(s.Listen, strconv.Itoa(port))
}

// renewCerts looks once an hour whether the certificate needs renewal.
func (s *Seed) renewCerts(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := s.cfg.ensureCerts(now); err != nil {
				s.log.Error("certificate", "err", err)
			}
		}
	}
}

// serveGrace is how long a request, mostly a blob's transfer, may go on when the seed stops.
const serveGrace = 15 * time.Second

// unusedGrace is how long a connection may be there then without a request.
const unusedGrace = 200 * time.Millisecond

// serve serves HTTP until ctx ends, and returns when what was under way then has ended.
func serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	var unused sync.Map // connections on which nothing was asked yet
	srv.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			unused.Store(c, nil)
		} else {
			unused.Delete(c)
		}
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), serveGrace)
		defer cancel()
		// Shutdown would wait 5 s for them; clients open some in reserve.
		defer time.AfterFunc(unusedGrace, func() {
			unused.Range(func(c, _ any) bool {
				c.(net.Conn).Close()
				return true
			})
		}).Stop()
		if srv.Shutdown(bye) != nil {
			srv.Close()
		}
	})
	err := srv.Serve(l)
	if !stop() {
		<-ended // Serve returns when Shutdown begins
	}
	return err
}

// removeStale removes a socket file that nobody listens on any more; we hold
// the lock.
func removeStale(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
