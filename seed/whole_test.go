package seed

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/logs"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/nats/natstest"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/proof"
)

// turn has dynos of all types made as they shall be, and reports whether they are.
func (y *system) turn(t *testing.T) (all bool) {
	all = true
	for _, c := range startOrder {
		all = y.adjust(t.Context(), c, y.state.wanted()) && all
	}
	return all
}

// letIn ends the probation of what runs of a release.
func (y *system) letIn(d *desired) (ids []hoist.ID) {
	for id, dyno := range y.dynos {
		if d.has(dyno) {
			y.state.Proven[id], dyno.done, dyno.passed = true, true, time.Now().Add(-overlap)
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// logged are the lines of hoist's log that people see.
func logged(t *testing.T, y *system, bus *nats.Bus) (said []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := y.seed.bus.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	lines, err := bus.Tail(ctx, hoist.StreamLogs+y.state.Next.AppID, false)
	if err != nil {
		t.Fatal(err)
	}
	for m := range lines {
		var line hoist.LogLine
		if err := json.Unmarshal(m.Data, &line); err != nil {
			t.Error(err)
		}
		if shown, err := logs.Parse(logs.Format(line)); err != nil {
			t.Errorf("%+v is no line of a log", line)
		} else {
			said = append(said, shown.Text)
		}
	}
	return said
}

func sorted(ids []hoist.ID) []hoist.ID { return slices.Sorted(slices.Values(ids)) }

// Each part does its task, and all are let in; but the platform as a whole, and so the next build, does not work. What
// was told to end is started again, and takes over from what was let in.
func TestAReleaseThatFailsAsAWholeIsRolledBack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives directories away; needs root")
	}
	y, e := withEngine(t)
	one := y.six(t, 1)
	if err := y.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	y.turn(t)
	before := y.letIn(one)
	if len(before) != len(hoist.Components) || !y.turn(t) {
		t.Fatalf("%d dynos of v1", len(before))
	}
	two := *one
	two.ReleaseID, two.Version = "r2", 2
	y.state.Next = &two
	y.turn(t)
	if y.turn(t) || len(e.asked) > 0 {
		t.Fatalf("%v were told to end before the new ones were let in", e.asked)
	}
	bad := y.letIn(&two)
	for _, spec := range e.specs[len(before):] {
		if spec.Env["HOIST_PROBATION"] != "true" {
			t.Errorf("%s of v2 is not on probation", spec.Name)
		}
	}
	y.turn(t)
	if !slices.Equal(sorted(e.asked), before) || !y.turn(t) {
		t.Fatalf("%v were told to end, not %v", e.asked, before)
	}

	// The proof of the whole fails at its first step: its database is not there.
	db, err := postgres.Open(t.Context(), "postgres://127.0.0.1:1/none")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	y.prover = proof.New(proof.Config{DB: db, Dir: t.TempDir(), Log: y.log})
	y.seed.cfg.Tuning = map[string]string{tuneProof: "1h"}
	failing := func() bool {
		y.chain.mu.Lock()
		defer y.chain.mu.Unlock()
		return y.chain.err != nil
	}
	for start := time.Now(); !failing(); time.Sleep(time.Millisecond) {
		if y.conclude(&two, true) {
			t.Fatal("it is good")
		}
		if time.Since(start) > time.Minute {
			t.Fatal("the proof does not end")
		}
	}
	if y.conclude(&two, true); y.state.Failed["r2"] != "" {
		t.Fatal("given up at once")
	}
	y.seed.cfg.Tuning[tuneProof] = "1ns"
	server := natstest.New(t)
	y.seed.bus = server.Bus(nats.ComponentSeed)
	if y.conclude(&two, true) || y.state.good(&two) {
		t.Error("it is good")
	}
	const begins = "Release v2 did not prove itself: the platform as a whole: "
	if why := y.state.Failed["r2"]; !strings.HasPrefix(why, begins) || !strings.HasSuffix(why, "goes on with v1.") {
		t.Errorf("%q", why)
	}
	said := logged(t, y, server.Bus(hoist.ComponentLogs))
	if !slices.ContainsFunc(said, func(line string) bool { return strings.HasPrefix(line, begins) }) {
		t.Errorf("the log says %q", said)
	}

	e.asked = nil
	y.turn(t)
	if len(e.asked) > 0 {
		t.Errorf("%v were told to end before those of v1 are there", e.asked)
	}
	for _, spec := range e.specs[2*len(before):] {
		if spec.Env["HOIST_PROBATION"] != "" || spec.Env["HOIST_RELEASE_VERSION"] != "v1" {
			t.Errorf("%s is started on probation, or of another release", spec.Name)
		}
	}
	if again := y.letIn(one); len(e.specs) != 3*len(before) || len(again) != 2*len(before) {
		t.Fatalf("%d starts, %d dynos of v1", len(e.specs), len(again))
	}
	y.turn(t)
	if !slices.Equal(sorted(e.asked), bad) || !y.turn(t) {
		t.Errorf("%v were told to end, not %v", e.asked, bad)
	}
	if y.state.Good == nil || y.state.Good.ReleaseID != "r1" {
		t.Errorf("%+v", y.state.Good)
	}
}
