package runtime

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
)

// heartbeat is how often a worker says that it is there and looks at its dynos
// without being rung for.
const heartbeat = time.Second

const (
	removeLimit = 30 * time.Second // for an attempt to remove a container
	removeWait  = 5 * time.Second  // between attempts
)

// workerLoop keeps one supervisor for each dyno of ours, and takes new dynos.
// While the database is away everything stays as it is. asked is closed when this
// worker shall drain and stop; drained is closed when it has.
func (r *Runtime) workerLoop(ctx context.Context, asked <-chan struct{}, containers []hoist.Container, drained chan struct{}) {
	found := map[hoist.ID]hoist.Container{}
	for _, c := range containers {
		found[c.ID] = c
	}
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	defer r.waitForSupervisors()
	var orphans sync.WaitGroup
	defer orphans.Wait()
	adopted, away := false, false
	var stopBy time.Time
	for ctx.Err() == nil {
		err := r.sync(ctx, found)
		if err == nil && !adopted {
			adopted = true
			for id := range found {
				r.orphans.Store(id, nil)
				orphans.Go(func() { r.removeOrphan(ctx, id) }) // one may not end, and this worker has to be seen
			}
			for _, d := range r.served() {
				if r.dynos[d.Dyno.ID] == nil {
					r.forget(d.Dyno.ID)
				}
			}
			found = nil
		}
		if err != nil && !away && ctx.Err() == nil {
			r.log.Warn("waits; the dynos go on", "for", "database: "+err.Error())
		} else if err == nil && away {
			r.log.Info("the database is back")
		}
		away = err != nil
		r.away.Store(away)
		if !stopBy.IsZero() && r.leave(ctx, stopBy) {
			close(drained)
			return
		}
		select {
		case <-ctx.Done():
		case <-asked:
			asked = nil
			r.worker.Draining, stopBy = true, time.Now().Add(r.cfg.DrainLimit)
			r.log.Info("draining", "dynos", len(r.dynos))
		case <-tick.C:
		case <-r.wake:
			time.Sleep(10 * time.Millisecond) // bells come in flocks
		}
	}
}

// sync makes the supervisors equal to our rows.
func (r *Runtime) sync(ctx context.Context, found map[hoist.ID]hoist.Container) error {
	query, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r.worker.Probation = !r.isProven()
	draining, err := r.db.SeeWorker(query, r.worker)
	if err != nil {
		return err
	}
	r.leaving.Store(draining)
	// Those that have ended wrote their rows before: look at the rows after.
	r.reap()
	if draining {
		apps, err := r.db.MoveDynos(query, r.worker.ID)
		if err != nil {
			return err
		}
		for _, app := range apps {
			r.bus.Ring(hoist.BellFormation+app, nil)
		}
	} else if !r.worker.Probation {
		if err := r.claim(query); err != nil {
			return err
		}
	}
	rows, err := r.db.WorkerDynos(query, r.worker.ID)
	if err != nil {
		return err
	}
	ours := map[hoist.ID]bool{}
	for _, d := range rows {
		ours[d.ID] = true
		s := r.dynos[d.ID]
		if s == nil {
			s = newSupervisor(r, d)
			r.mu.Lock()
			r.dynos[d.ID] = s
			r.mu.Unlock()
			c, there := found[d.ID]
			delete(found, d.ID)
			s.begin(ctx, c, there)
			if d.Attach {
				r.ring(d) // its client waits to know where it is
			}
		}
		if d.Want == hoist.WantDown {
			s.askToStop()
		}
	}
	for id, s := range r.dynos {
		if !ours[id] {
			s.cancel(errNotOurs)
		}
	}
	return nil
}

func (r *Runtime) isProven() bool {
	select {
	case <-r.cfg.Proven:
		return true
	default:
		return false
	}
}

// claim takes waiting dynos that suit us.
func (r *Runtime) claim(ctx context.Context) error {
	waiting, now, err := r.db.WaitingDynos(ctx)
	if err != nil {
		return err
	}
	// What we still clean up after having lost it comes later.
	waiting = slices.DeleteFunc(waiting, func(d hoist.Dyno) bool {
		_, orphan := r.orphans.Load(d.ID)
		return orphan || r.dynos[d.ID] != nil
	})
	if len(waiting) == 0 {
		return nil
	}
	workers, err := r.db.Workers(ctx)
	if err != nil {
		return err
	}
	placed, err := r.db.PlacedDynos(ctx)
	if err != nil {
		return err
	}
	take := place(r.worker.ID, workers, placed, waiting, now)
	if len(take) == 0 {
		return nil
	}
	return r.db.ClaimDynos(ctx, r.worker.ID, take)
}

// reap forgets supervisors that have ended.
func (r *Runtime) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range r.dynos {
		select {
		case <-s.done:
			delete(r.dynos, id)
			s.refuseClient()
		default:
		}
	}
}

// removeOrphan removes a container that has no row any more.
func (r *Runtime) removeOrphan(ctx context.Context, id hoist.ID) {
	log := r.log.With("id", id)
	log.Info("removing a container that nobody wants any more")
	r.remove(ctx, id, log)
	r.orphans.Delete(id)
	signal(r.wake) // it may have a row again
}

// remove frees a container, for as long as it takes.
func (r *Runtime) remove(ctx context.Context, id hoist.ID, log *slog.Logger) {
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, removeLimit)
		err := r.engine.Remove(try, id)
		cancel()
		if err == nil || errors.Is(err, hoist.ErrNotFound) {
			return
		}
		if ctx.Err() == nil {
			log.Error("cannot remove the container; trying again", "error", err)
		}
		sleep(ctx, removeWait)
	}
}

// leave reports whether a draining worker has nothing left; after stopBy it
// stops what it still has. One on probation has only what it was tried with, which nobody
// may come for any more.
func (r *Runtime) leave(ctx context.Context, stopBy time.Time) bool {
	if len(r.dynos) == 0 {
		bye, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := r.db.DeleteWorker(bye, r.worker.ID); err != nil {
			r.log.Warn("drained; the worker will be forgotten later", "error", err)
		}
		return true
	}
	if r.worker.Probation || time.Now().After(stopBy) {
		r.late.Store(true)
		for _, s := range r.dynos {
			s.askToStop()
		}
	}
	return false
}

func (r *Runtime) waitForSupervisors() {
	for _, s := range r.dynos {
		<-s.done
	}
}
