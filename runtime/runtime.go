// Package runtime is the process model: it makes the dynos that run equal to
// the formation people asked for, runs them on workers, and starts one-off
// dynos. Every runtime process is a worker and may also run the loop for any
// app; all that lasts is in the database and in the containers themselves, so
// it may be killed at any moment and started again.
package runtime

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/hoist-sh/hoist"
)

// Config is what a worker is told. Zero durations and sizes mean the default.
type Config struct {
	Dir      string         // holds the slugs and the worker's ID; made if missing
	Listen   string         // where clients of attached dynos come in, ip:port
	Memory   int64          // bytes that dynos may use, with all other workers of the host
	Host     string         // names the machine; empty: this worker has its memory alone
	BlobGate netip.AddrPort // where build dynos reach the blob store; optional
	Slugs    int64          // bytes of slugs kept; default 4 GiB
	HTTPS    int            // the platform's port for it; 0 if there is none

	BootTimeout   time.Duration // until a web dyno listens; default 60 s (R10)
	Drain         time.Duration // from out of the routes to SIGTERM; default 4 s: the bell may be lost
	DrainMoved    time.Duration // the same for a dyno that is moved, for as long as clients are connected; default 5 min
	StopGrace     time.Duration // from SIGTERM to SIGKILL; default 30 s (R12)
	AttachTimeout time.Duration // until a client comes; default 60 s (R13)
	Backoff       time.Duration // before the first restart, then doubled up to 300 times; default 1 s
	LostAfter     time.Duration // a silent worker is lost; default 10 s
	AloneAfter    time.Duration // without the database from the start, what served here last is started; default 5 s

	// MemoryInterval is how often a dyno is looked at for its memory quota; default 20 s (R14).
	MemoryInterval time.Duration

	// Proven is closed when this worker may take dynos and look after apps;
	// before, it runs only dynos whose rows name it. nil: at once.
	Proven <-chan struct{}

	// DrainOnStop moves the dynos to other workers when Run's context ends,
	// for DrainLimit at most (default 5 min). Else they are left running and
	// adopted at the next start.
	DrainOnStop bool
	DrainLimit  time.Duration
}

func (c Config) withDefaults() Config {
	c.Slugs = cmp.Or(c.Slugs, 4<<30)
	c.BootTimeout = cmp.Or(c.BootTimeout, 60*time.Second)
	c.Drain = cmp.Or(c.Drain, hoist.ResyncInterval+time.Second)
	c.DrainMoved = cmp.Or(c.DrainMoved, 5*time.Minute)
	c.StopGrace = cmp.Or(c.StopGrace, 30*time.Second)
	c.AttachTimeout = cmp.Or(c.AttachTimeout, 60*time.Second)
	c.Backoff = cmp.Or(c.Backoff, time.Second)
	c.LostAfter = cmp.Or(c.LostAfter, 10*time.Second)
	c.AloneAfter = cmp.Or(c.AloneAfter, 5*time.Second)
	c.MemoryInterval = cmp.Or(c.MemoryInterval, 20*time.Second)
	c.DrainLimit = cmp.Or(c.DrainLimit, 5*time.Minute)
	if c.Proven == nil {
		atOnce := make(chan struct{})
		close(atOnce)
		c.Proven = atOnce
	}
	return c
}

// Runtime is the component.
type Runtime struct {
	cfg    Config
	db     Database
	bus    hoist.Bus
	engine hoist.Engine
	slugs  *slugCache
	log    *slog.Logger

	worker  hoist.Worker
	ids     []hoist.ID    // apps rung for, under mu
	rung    chan struct{} // there are ids
	wake    chan struct{} // look at our dynos again
	lost    chan struct{} // look for lost workers
	steady  steady        // of the loop that looks after apps
	away    atomic.Bool   // the database was, when we looked last
	leaving atomic.Bool   // our dynos are being moved
	late    atomic.Bool   // the time for that is over
	mu      sync.Mutex
	dynos   map[hoist.ID]*supervisor // under mu; changed by the worker's loop only
	// orphans are containers without a row of ours, which are removed.
	orphans sync.Map
}

// New makes a runtime; Run starts it.
func New(cfg Config, db Database, bus hoist.Bus, blobs hoist.Blobs, engine hoist.Engine, log *slog.Logger) *Runtime {
	cfg = cfg.withDefaults()
	return &Runtime{
		cfg: cfg, db: db, bus: bus, engine: engine, log: log,
		slugs: &slugCache{dir: filepath.Join(cfg.Dir, "slugs"), limit: cfg.Slugs, blobs: blobs},
		lost:  make(chan struct{}, 1),
		rung:  make(chan struct{}, 1),
		wake:  make(chan struct{}, 1),
		dynos: map[hoist.ID]*supervisor{},
	}
}

// Run works until ctx ends. The containers outlive it, unless it drains.
func (r *Runtime) Run(ctx context.Context) error {
	unlock, err := r.lockDir(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.slugs.open(); err != nil {
		return err
	}
	if err := r.awaitDatabase(ctx); err != nil {
		return ignoreDone(ctx, err)
	}
	if err := r.db.ResumeWorker(ctx, r.worker.ID); err != nil {
		r.log.Warn("a drain may go on", "error", err)
	}
	containers, err := r.engine.List(ctx)
	if err != nil {
		return fmt.Errorf("runtime: containers: %w", err)
	}
	listener, err := net.Listen("tcp", cmp.Or(r.cfg.Listen, "127.0.0.1:0"))
	if err != nil {
		return fmt.Errorf("runtime: %w", err)
	}
	r.worker.Address, r.worker.Memory, r.worker.Host = listener.Addr().String(), r.cfg.Memory, r.cfg.Host
	r.log.Info("ready", "worker", r.worker.ID, "attach", r.worker.Address, "memory", r.worker.Memory, "containers", len(containers))

	// What runs here ends after ctx when dynos are moved first.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer func() { stop(); listener.Close() }()
	for _, subject := range []string{hoist.BellFormation + "*", hoist.BellDyno + "*", hoist.BellWorker} {
		wg.Go(func() { r.listen(work, subject) })
	}
	asked, drained := make(chan struct{}), make(chan struct{})
	wg.Go(func() { r.acceptClients(work, listener) })
	wg.Go(func() {
		select {
		case <-r.cfg.Proven:
			signal(r.wake)
			r.reconcileLoop(work)
		case <-work.Done():
		}
	})
	wg.Go(func() { r.workerLoop(work, asked, containers, drained) })
	<-ctx.Done()
	if r.cfg.DrainOnStop {
		close(asked)
		select {
		case <-drained:
		case <-time.After(r.cfg.DrainLimit + r.cfg.Drain + r.cfg.StopGrace + 5*time.Second):
		}
	}
	return nil
}

func (r *Runtime) waitsFor(what string) {
	if what == "" {
		r.log.Info("waits for nothing")
	} else {
		r.log.Warn("waits", "for", what)
	}
}

// lockDir makes the directory ours alone, waiting for a predecessor to end,
// and reads who this worker is.
func (r *Runtime) lockDir(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(r.cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("runtime: %w", err)
	}
	name := filepath.Join(r.cfg.Dir, "worker")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("runtime: %w", err)
	}
	for waiting := false; ; waiting = true {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			break
		}
		if !waiting {
			r.waitsFor("the runtime that uses " + r.cfg.Dir)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("runtime: %w", err)
	}
	id, err := uuid.Parse(strings.TrimSpace(string(text)))
	if err != nil { // new, or torn by a power cut: then its containers are gone too
		id = uuid.New()
		if _, err := f.WriteAt([]byte(id.String()), 0); err != nil {
			f.Close()
			return nil, fmt.Errorf("runtime: %w", err)
		}
		f.Sync()
	}
	r.worker.ID = id.String()
	return func() { f.Close() }, nil
}

// listen turns bells into work.
func (r *Runtime) listen(ctx context.Context, pattern string) {
	err := r.bus.Listen(ctx, pattern, func(subject string, _ []byte) {
		if subject == hoist.BellWorker {
			signal(r.lost)
			return
		}
		if app, ok := strings.CutPrefix(subject, hoist.BellFormation); ok {
			r.ringFor(app)
		}
		signal(r.wake)
	})
	if err != nil && ctx.Err() == nil {
		r.log.Error("cannot hear bells; looking every "+hoist.ResyncInterval.String(), "error", err)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func ignoreDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
