package seed

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/proof"
)

// trial is what goes on beside the loop, mostly a proof, and is tried until it succeeds.
type trial struct {
	mu     sync.Mutex
	cancel context.CancelFunc
	since  time.Time
	err    error // of the last attempt
	passed bool
}

// look starts the trial unless it goes on, and reports how it stands. The
// error is the last attempt's, if there was one.
func (t *trial) look(ctx context.Context, wake func(), try func(context.Context) error) (passed bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel == nil {
		ctx, t.cancel = context.WithCancel(ctx)
		t.since, t.err, t.passed = time.Now(), nil, false
		go t.run(ctx, wake, try)
	}
	return t.passed, t.err
}

func (t *trial) run(ctx context.Context, wake func(), try func(context.Context) error) {
	for ctx.Err() == nil {
		err := try(ctx)
		if ctx.Err() != nil {
			return
		}
		t.mu.Lock()
		t.passed, t.err = err == nil, err
		t.mu.Unlock()
		wake()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// stop ends the trial; look begins another one.
func (t *trial) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel != nil {
		t.cancel()
		t.cancel = nil
	}
}

// first reports whether the first attempt is under way.
func (t *trial) first() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cancel != nil && t.err == nil && !t.passed
}

// failed reports whether the last attempt did.
func (t *trial) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cancel != nil && t.err != nil
}

// lasts is how long the trial has gone on.
func (t *trial) lasts() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.since)
}

// proveWith makes the prover, with what the component api has of the ground.
func (y *system) proveWith() {
	cfg := &y.seed.cfg
	y.prover = proof.New(proof.Config{DB: y.seed.api, Bus: y.seed.bus, Blobs: y.seed.sources, Public: cfg.Public(), Host: cfg.Local(),
		Stack: cfg.Stack, Region: cfg.Region, Dir: cfg.file("proof"), Log: y.log})
}

// prove looks which of the new dynos do their work. Those of a release that is
// known to be good only have to be there; others are given a task. Only time in
// which the ground is there counts; prove reports whether it is.
func (y *system) prove(ctx context.Context, there bool) (ground bool) {
	ending := ctx
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	want := y.state.wanted()
	registered, err := y.seed.db.Registrations(ctx)
	if ending.Err() != nil {
		return false
	}
	if err != nil || !there || !y.seed.bus.Connected() || !up(y.seed.ground) {
		for _, d := range y.dynos {
			d.since = time.Now()
			d.trial.stop()
		}
		y.chain.stop()
		y.proveAlone()
		return false
	}
	for _, d := range y.dynos {
		if d.stopping() {
			d.trial.stop()
			continue
		}
		if y.state.Proven[d.ID] {
			// Those of the release before say nothing of the one that is tried.
			if want.has(d) && time.Since(d.since) > time.Minute {
				y.crashes[d.Type] = 0
			}
			continue
		}
		if !d.done {
			d.lacks = y.lacks(ctx, d, registered)
			d.done = d.lacks == "" || y.state.Good.has(d) && y.lacksGround(d)
		}
		if y.late(d) {
			teller := y.teller(d)
			y.failDyno(teller, teller.lacks)
			y.backOff(d.Type)
			y.stop(ctx, d)
		}
	}
	y.admit(ctx, want)
	return true
}

// late reports whether a dyno has had its time to do its task. A first attempt that is under way is waited for: it is
// bounded, and a machine that is starved is not the release's fault.
func (y *system) late(d *systemDyno) bool {
	return !d.done && time.Since(d.since) > y.seed.cfg.proofLimit() && !d.trial.first()
}

// teller is the dyno that knows best why another one of its release was late: others wait for the
// schema that api brings up to date.
func (y *system) teller(late *systemDyno) *systemDyno {
	for _, d := range y.dynos {
		if d.Type == hoist.ComponentAPI && d.ReleaseID == late.ReleaseID && !d.done && !d.stopping() && d.lacks != "" {
			return d
		}
	}
	return late
}

// lacksGround reports whether a dyno says that it waits for a part of the ground. If it is of a
// good release that is so, and nobody else could do more.
func (y *system) lacksGround(d *systemDyno) bool {
	r, ok := y.report(d)
	return ok && slices.ContainsFunc(r.Needs, func(n hoist.Need) bool {
		return n.Missing != "" && n.Without == "" && !slices.Contains(hoist.Components, n.On)
	})
}

// report is what a dyno's process says of itself.
func (y *system) report(d *systemDyno) (hoist.Report, bool) {
	reports := y.seed.cfg.reports(d.Type, time.Now())
	i := slices.IndexFunc(reports, func(r hoist.Report) bool { return r.ID == d.ID })
	if i < 0 {
		return hoist.Report{}, false
	}
	return reports[i], true
}

// admit lets in those that have done their tasks. Those of a release that is not
// known to be good wait for each other, so that nobody is served by one of which a
// part then fails.
func (y *system) admit(ctx context.Context, want *desired) {
	all := y.state.good(want) || y.ready(want)
	for _, d := range y.dynos {
		if !d.done || d.stopping() || y.state.Proven[d.ID] {
			continue
		}
		if !y.state.Good.has(d) && !(all && want.has(d)) {
			d.State, d.lacks = hoist.DynoUp, "it waits for the others to do their tasks"
			continue
		}
		if err := y.seed.db.EndProbation(ctx, d.ID); err != nil && !errors.Is(err, hoist.ErrNotFound) {
			d.lacks = "the end of its probation cannot be written: " + err.Error()
			continue
		}
		y.seed.bus.Ring(hoist.BellProven+d.ID, nil)
		y.seed.bus.Ring(hoist.BellComponent, []byte(d.Type))
		y.state.Proven[d.ID] = true
		d.State, d.lacks, d.passed = hoist.DynoUp, "", time.Now()
		y.log.Info("proven", "dyno", d.Name(), "release", d.Version, "after", time.Since(d.since).Round(10*time.Millisecond))
		y.say(d.AppID, d.Name(), "heroku", "State changed from starting to up")
	}
}

// ready reports whether all dynos of a release have done their tasks.
func (y *system) ready(want *desired) bool {
	return want != nil && !slices.ContainsFunc(hoist.Components, func(c string) bool {
		return !ready(y.state.rescued(c, want.Formation[c]).Quantity, y.members(c, want))
	})
}

// lacks is what a dyno's task still lacks.
func (y *system) lacks(ctx context.Context, d *systemDyno, registered []postgres.Registration) string {
	i := slices.IndexFunc(registered, func(r postgres.Registration) bool { return r.ID == d.ID })
	if i < 0 {
		return "it has not registered itself"
	}
	r := registered[i]
	if r.WaitsFor != "" {
		return "it waits for " + r.WaitsFor
	}
	if r.Address != "" {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", r.Address)
		if err != nil {
			return "it does not answer: " + err.Error()
		}
		conn.Close()
	}
	process := proof.Process{ID: d.ID, Type: d.Type, Address: r.Address, Doors: r.Doors}
	if d.Type == hoist.ComponentRuntime {
		if process.Worker = y.worker(ctx, d); process.Worker == "" {
			return "it offers no room for dynos"
		}
	}
	if !r.Probation && y.state.knownGood(d) { // what it says of itself does not do
		return ""
	}
	passed, err := d.trial.look(y.seed.ctx, y.wake, func(ctx context.Context) error { return y.prover.Prove(ctx, process) })
	switch {
	case err != nil:
		return err.Error()
	case !passed:
		return "it has not done its task yet"
	}
	return ""
}

// worker is the worker that a runtime's dyno is, once it offers room.
func (y *system) worker(ctx context.Context, d *systemDyno) hoist.ID {
	id, _ := workerIn(y.seed.cfg.workerDir(d.slot)) // nobody is called ""
	seen, err := y.seed.db.Workers(ctx)
	if err != nil || !slices.ContainsFunc(seen, func(w hoist.Worker) bool {
		return w.ID == id && !w.Draining && time.Since(w.SeenAt) < 5*time.Second
	}) {
		return ""
	}
	return id
}
