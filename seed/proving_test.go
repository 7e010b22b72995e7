package seed

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
)

// The database goes away while the platform as a whole proves itself: that time is not the release's.
func TestTheProofOfTheWholeWaitsForTheGround(t *testing.T) {
	y, _ := withEngine(t)
	next := y.onTrial(t)
	y.dynos["d"] = &systemDyno{Dyno: hoist.Dyno{ID: "d", Type: hoist.ComponentAPI, ReleaseID: next.ReleaseID}}
	var err error
	if y.seed.db, err = postgres.Open(t.Context(), "postgres://127.0.0.1:1/none"); err != nil {
		t.Fatal(err)
	}
	defer y.seed.db.Close()
	ended := make(chan struct{})
	y.chain.look(t.Context(), y.wake, func(ctx context.Context) error {
		defer close(ended)
		<-ctx.Done()
		return ctx.Err()
	})
	if y.prove(t.Context(), false) {
		t.Error("the ground is away")
	}
	<-ended
	if y.conclude(next, false) || y.state.good(next) || y.chain.cancel != nil {
		t.Error("the proof goes on, or is over")
	}
}

// A process says in the registry whether it is on probation. One of a release that is on trial has its
// task to do, whatever it says.
func TestAProcessDoesNotSaveItselfItsTask(t *testing.T) {
	y, _ := withEngine(t)
	next := y.onTrial(t)
	says := []postgres.Registration{{ID: "d", Type: hoist.ComponentAPI}}
	dyno := func(release hoist.ID) *systemDyno {
		d := &systemDyno{Dyno: hoist.Dyno{ID: "d", Type: hoist.ComponentAPI, ReleaseID: release}}
		d.trial.cancel = func() {} // its proof goes on
		return d
	}
	if y.lacks(t.Context(), dyno(next.ReleaseID), says) == "" {
		t.Error("it did not do its task")
	}
	if lacks := y.lacks(t.Context(), dyno(y.state.Good.ReleaseID), says); lacks != "" {
		t.Errorf("of a good release: %s", lacks)
	}
}

// The limit and what an attempt may take are two things: on a machine that is starved the first attempt may not have ended.
func TestTheFirstAttemptIsWaitedFor(t *testing.T) {
	y, _ := withEngine(t)
	y.seed.cfg.Tuning = map[string]string{tuneProof: "25s"}
	d := &systemDyno{since: time.Now().Add(-26 * time.Second)}
	if !y.late(d) {
		t.Error("it has not even begun")
	}
	end, ended := make(chan error), make(chan struct{}, 10)
	look := func() {
		d.trial.look(t.Context(), func() { ended <- struct{}{} }, func(context.Context) error { return <-end })
	}
	look()
	if y.late(d) {
		t.Error("the first attempt is under way")
	}
	end <- errors.New("sabotaged")
	<-ended
	if !y.late(d) {
		t.Error("it has failed")
	}
	d.trial.stop()
	look()
	d.since = time.Now()
	if y.late(d) {
		t.Error("it has time")
	}
}
