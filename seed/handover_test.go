package seed

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
)

// Somebody is attached to a dyno of the seed's own runtime, which therefore is not done yet when the runtime that took
// over from it is not to be any more. Who else should take dynos?
func TestTheSeedsOwnRuntimeTakesDynosAgain(t *testing.T) {
	y, _ := withEngine(t)
	db, roles := postgrestest.New(t)
	y.seed.db = roles.Open("seed")
	if err := y.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	own, worker, account, app := y.inside(hoist.ComponentRuntime), hoist.NewID(), hoist.NewID(), hoist.NewID()
	dir := y.seed.cfg.file(hoist.ComponentRuntime)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "worker"), []byte(worker), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, q := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO workers (id, address, memory) VALUES ($1, '', 1)`, []any{worker}},
		{`INSERT INTO accounts (id, email) VALUES ($1, 'ann@example.com')`, []any{account}},
		{`INSERT INTO apps (id, name, owner_id, stack, region) VALUES ($1, 'app', $2, 's', 'r')`, []any{app, account}},
		{`INSERT INTO dynos (id, app_id, kind, type, number, size, command, state, attach, worker_id) VALUES ($1, $2, 'run', 'run', 1, 'Basic', 'bash', 'up', true, $3)`,
			[]any{hoist.NewID(), app, worker}},
	} {
		if _, err := db.Pool.Exec(t.Context(), q.sql, q.args...); err != nil {
			t.Fatal(err)
		}
	}
	drains := func() (draining bool) {
		t.Helper()
		if err := db.Pool.QueryRow(t.Context(), `SELECT draining FROM workers`).Scan(&draining); err != nil {
			t.Fatal(err)
		}
		return draining
	}
	want := y.proven(t, 1)
	// takenOver is a turn of the loop with a runtime dyno that has proved itself.
	takenOver := func() *systemDyno {
		t.Helper()
		want.Formation[hoist.ComponentRuntime] = process{Command: "bin/hoist runtime", Quantity: 1}
		env, err := y.environ(hoist.ComponentRuntime, want)
		if err != nil {
			t.Fatal(err)
		}
		d := &systemDyno{Dyno: hoist.Dyno{ID: "d", Type: hoist.ComponentRuntime, Number: 1, ReleaseID: want.ReleaseID},
			digest: digestOf(want, want.Formation[hoist.ComponentRuntime], env)}
		clear(y.dynos)
		y.dynos["d"], y.state.Proven["d"] = d, true
		y.adjust(t.Context(), hoist.ComponentRuntime, want)
		if !own.on() || !own.isLeaving() || !drains() {
			t.Fatalf("it is not about to be done: on %t, leaving %t, draining %t", own.on(), own.isLeaving(), drains())
		}
		return d
	}
	goesOn := func(when string) {
		t.Helper()
		y.adjust(t.Context(), hoist.ComponentRuntime, want)
		if !own.on() || own.isLeaving() || drains() {
			t.Errorf("%s: on %t, leaving %t, draining %t", when, own.on(), own.isLeaving(), drains())
		}
	}
	own.turn(true)

	takenOver()
	want.Formation[hoist.ComponentRuntime] = process{}
	goesOn("scaled to 0, rescued, or of a release that failed")

	d := takenOver()
	y.state.Proven["d"], d.since = false, time.Now()
	y.adjust(t.Context(), hoist.ComponentRuntime, want)
	if !drains() {
		t.Error("its successor has some time to come back")
	}
	y.provenAt[hoist.ComponentRuntime] = time.Now().Add(-rescueAfter - time.Second)
	goesOn("its successor was lost")

	takenOver()
	if _, err := db.Pool.Exec(t.Context(), `UPDATE dynos SET state = 'down'`); err != nil {
		t.Fatal(err)
	}
	if y.adjust(t.Context(), hoist.ComponentRuntime, want); own.on() {
		t.Error("it has nothing to do any more, and goes on")
	}
}
