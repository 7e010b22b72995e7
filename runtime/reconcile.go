package runtime

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/hoist-sh/hoist"
)

// How long rows of ended dynos are kept: of the formation for `ps` to show what
// became of them, one-offs for their exit codes.
const (
	keepFormation = 5 * time.Minute
	keepOneOff    = time.Hour
)

// ringFor notes that an app wants to be looked at.
func (r *Runtime) ringFor(app hoist.ID) {
	if uuid.Validate(app) != nil {
		return
	}
	r.mu.Lock()
	if !slices.Contains(r.ids, app) {
		r.ids = append(r.ids, app)
	}
	r.mu.Unlock()
	signal(r.rung)
}

// reconcileLoop compares desired and actual: an app when its bell rings, all
// every ResyncInterval.
func (r *Runtime) reconcileLoop(ctx context.Context) {
	tick := time.NewTicker(hoist.ResyncInterval)
	defer tick.Stop()
	for {
		if err := r.resync(ctx, r.steady.look(time.Now(), r.cfg.LostAfter)); err != nil {
			r.steady.broke(time.Now())
			if ctx.Err() == nil {
				r.log.Warn("waits", "for", "database: "+err.Error())
			}
		}
		for ticked := false; !ticked; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				ticked = true
			case <-r.lost:
				ticked = true
			case <-r.rung:
				r.mu.Lock()
				apps := r.ids
				r.ids = nil
				r.mu.Unlock()
				r.reconcileEach(ctx, apps)
			}
		}
	}
}

func (r *Runtime) resync(ctx context.Context, lostAfter time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	lost, err := r.db.LoseWorkers(ctx, r.worker.ID, lostAfter)
	if err != nil {
		return err
	}
	for _, d := range lost {
		r.say(d, "Its worker was lost: "+map[bool]string{true: "the dyno has ended", false: "moving to another"}[d.State == hoist.DynoDown])
		r.ring(d)
	}
	abandoned, err := r.db.AbandonedDynos(ctx, r.cfg.AttachTimeout)
	if err != nil {
		return err
	}
	for _, d := range abandoned {
		if d.Want != hoist.WantDown {
			r.say(d, "Error R99 (Platform error) -> No worker had room for the dyno")
		}
		r.ring(d)
	}
	if err := r.db.CollectDynos(ctx, keepFormation, keepOneOff); err != nil {
		return err
	}
	apps, err := r.db.UnsettledApps(ctx)
	if err != nil {
		return err
	}
	r.reconcileEach(ctx, apps)
	return ctx.Err()
}

// reconcileEach looks at apps, of which one that fails is not the others' trouble.
func (r *Runtime) reconcileEach(ctx context.Context, apps []hoist.ID) {
	r.steady.step(time.Now(), r.cfg.LostAfter)
	for _, app := range apps {
		if err := r.reconcile(ctx, app); err != nil && ctx.Err() == nil {
			r.log.Warn("reconcile", "app", app, "error", err)
		}
		r.steady.step(time.Now(), r.cfg.LostAfter)
	}
}

func (r *Runtime) reconcile(ctx context.Context, app hoist.ID) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	changed, err := r.db.Reconcile(ctx, app, plan)
	if err != nil || len(changed) == 0 {
		return err
	}
	for _, d := range changed {
		r.log.Info("formation", "app", d.AppID, "dyno", d.Name(), "id", d.ID, "want", d.Want)
		if d.Want == hoist.WantDown && d.Reason != "" {
			r.say(d, "Stopping: "+d.Reason)
		}
	}
	r.bus.Ring(hoist.BellDyno+app, nil)
	return nil
}

// ring says that a dyno changed.
func (r *Runtime) ring(d hoist.Dyno) {
	if d.Kind == hoist.KindFormation {
		r.bus.Ring(hoist.BellRoute+d.AppID, nil)
		r.bus.Ring(hoist.BellFormation+d.AppID, nil)
	}
	r.bus.Ring(hoist.BellDyno+d.AppID, []byte(d.ID))
}
