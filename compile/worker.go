// Package compile is the component that turns builds into slugs. A worker
// claims a build in the database and has it compiled by hoist-compile in a
// fresh dyno of the app's stack, through the same runtime that will run the
// app. Workers share nothing; any number may run.
package compile

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
)

// Settings of a worker; a zero value means the default.
type Settings struct {
	Self        hoist.ID          // of this process: it may be asked for by builds.only_for
	Proven      <-chan struct{}   // closed when it may compile for anybody; nil: at once
	Concurrency int               // builds at once; 2
	Timeout     time.Duration     // of a compilation; 15 minutes
	Size        string            // of build dynos; Performance-M
	Env         map[string]string // for build dynos: mirrors and the like
	Lease       time.Duration     // on a claimed build, renewed after a sixth of it; 30 s
	Attempts    int               // before a build fails for want of a working machine; 3
	Placement   time.Duration     // for which a dyno may wait for a machine; 10 minutes
	Drain       time.Duration     // for which builds go on when the worker is stopped; 20 s
}

// withDefaults fills in what is not set.
func (s Settings) withDefaults() Settings {
	def(&s.Concurrency, 2)
	def(&s.Timeout, 15*time.Minute)
	def(&s.Size, "Performance-M")
	def(&s.Lease, 30*time.Second)
	def(&s.Attempts, 3)
	def(&s.Placement, 10*time.Minute)
	def(&s.Drain, 20*time.Second)
	s.Proven = hoist.Proven(s.Proven)
	return s
}

func def[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Worker is the component. It is a hoist.Component.
type Worker struct {
	settings Settings
	db       Store
	bus      hoist.Bus
	blobs    hoist.Blobs
	dial     Dial
	log      *slog.Logger

	wake chan struct{} // there may be something to claim

	mu   sync.Mutex
	jobs map[hoist.ID]*job // by build, to pass bells on
}

// New returns a worker.
func New(settings Settings, db Store, bus hoist.Bus, blobs hoist.Blobs, dial Dial, log *slog.Logger) *Worker {
	settings = settings.withDefaults()
	return &Worker{
		settings: settings, db: db, bus: bus, blobs: blobs, dial: dial, log: log,
		wake: make(chan struct{}, 1), jobs: map[hoist.ID]*job{},
	}
}

// Run claims and compiles builds until ctx ends. Then it claims no more, lets
// what it compiles go on for a while, and gives the rest back.
func (w *Worker) Run(ctx context.Context) error {
	for subject, heard := range map[string]func(string, []byte){
		hoist.BellBuild:        func(string, []byte) { poke(w.wake) },
		hoist.BellBuild + ".*": func(subject string, _ []byte) { w.pokeJob(subject[len(hoist.BellBuild)+1:]) },
		hoist.BellDyno + "*":   func(subject string, _ []byte) { w.pokeJob(subject[len(hoist.BellDyno):]) },
	} {
		if err := w.bus.Listen(ctx, subject, heard); err != nil {
			return err
		}
	}
	jobs, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	var running sync.WaitGroup
	slots := make(chan struct{}, w.settings.Concurrency)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case slots <- struct{}{}:
		}
		b, err := w.claim(ctx)
		if err != nil {
			<-slots
			continue
		}
		running.Go(func() {
			defer func() { <-slots }()
			w.work(jobs, b)
		})
	}
	drain := time.AfterFunc(w.settings.Drain, func() { stop(errHandover) })
	defer drain.Stop()
	running.Wait()
	return ctx.Err()
}

// claim waits for a build and claims it.
func (w *Worker) claim(ctx context.Context) (hoist.Build, error) {
	tick := time.NewTicker(hoist.ResyncInterval)
	defer tick.Stop()
	failing, steady := false, time.Now()
	waiting := w.settings.Proven
	for {
		proven := w.isProven()
		b, err := w.db.ClaimBuildJob(ctx, hoist.NewID(), w.settings.Self, proven, w.settings.Lease)
		if err == nil {
			return b, nil
		}
		missing := errors.Is(err, hoist.ErrNotFound)
		if !missing {
			steady = time.Now()
		}
		if proven {
			waiting = nil
		}
		if !missing && !failing && ctx.Err() == nil {
			w.log.Warn("waiting for the database", "error", err)
			failing = true
		} else if missing && failing {
			w.log.Info("the database is back")
			failing = false
		}
		select {
		case <-ctx.Done():
			return b, ctx.Err()
		case <-w.wake:
		case <-waiting:
		case <-tick.C:
			if !proven {
				continue
			}
			// Those of builds that were cancelled while their worker was dead.
			if err := w.db.StopAbandonedBuildDynos(ctx); err != nil && !failing && ctx.Err() == nil {
				w.log.Warn("cannot stop dynos of builds that have ended", "error", err)
			}
			// Who was away itself cannot say that others are gone.
			if time.Since(steady) > lostAfter {
				w.failLost(ctx)
			}
		}
	}
}

func (w *Worker) isProven() bool {
	select {
	case <-w.settings.Proven:
		return true
	default:
		return false
	}
}

// lostAfter is how long the database must have answered before others that did
// not renew their rows in it are taken for gone.
const lostAfter = 15 * time.Second

// failLost ends the builds that only a worker which is gone may compile.
func (w *Worker) failLost(ctx context.Context) {
	const reason = "The compile worker that this build was for is gone."
	lost, err := w.db.FailLostBuildJobs(ctx, reason)
	if err != nil {
		return // said by others, and looked at again
	}
	for _, b := range lost {
		out := newOutput(w.bus, b)
		out.say(" !     " + reason + "\n")
		out.end(hoist.BuildFailed)
		w.bus.Ring(hoist.BellBuild+"."+b.ID, nil)
	}
}

// work compiles one build.
func (w *Worker) work(ctx context.Context, b hoist.Build) {
	j := newJob(w, b)
	w.mu.Lock()
	w.jobs[b.ID] = j
	w.mu.Unlock()
	j.run(ctx)
	w.mu.Lock()
	if w.jobs[b.ID] == j { // not claimed again meanwhile
		delete(w.jobs, b.ID)
	}
	w.mu.Unlock()
	poke(w.wake)
}

// pokeJob makes the jobs of that build or app look at the database again.
func (w *Worker) pokeJob(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, j := range w.jobs {
		if j.build.ID == id || j.build.AppID == id {
			poke(j.changed)
			poke(j.renew)
		}
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
