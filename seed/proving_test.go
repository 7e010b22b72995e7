package seed

import (
	"context"
	"errors"
	"os"
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

// The release that the seed makes to go back is not concluded while a part of it is started again. Its code is known to
// be good, and so its dyno serves from the start.
func TestADynoOfARollbackHasNoTask(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives directories away; needs root")
	}
	y, e := withEngine(t)
	back := *y.six(t, 1)
	back.ReleaseID, back.Version, back.As = "r3", 3, &sameAs{"r1", 1}
	y.state.Next = &back
	if err := y.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	d, err := y.start(t.Context(), hoist.ComponentAPI, 1, &back)
	if err != nil {
		t.Fatal(err)
	}
	if e.specs[0].Env["HOIST_PROBATION"] != "" {
		t.Error("it is on probation")
	}
	d.trial.cancel = func() {} // its proof goes on
	if lacks := y.lacks(t.Context(), d, []postgres.Registration{{ID: d.ID, Type: d.Type}}); lacks != "" {
		t.Error(lacks)
	}
	if !y.state.Good.has(d) || !back.has(d) {
		t.Errorf("it is of release %s", d.ReleaseID)
	}
	again := back
	again.ReleaseID, again.Version = "r5", 5 // v4 failed, too
	if !again.has(d) {
		t.Error("it does not run on when the seed goes back again")
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
