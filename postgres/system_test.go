package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
)

func TestSystemApp(t *testing.T) {
	db, roles := postgrestest.New(t)
	ctx := t.Context()
	app := appOf(t, db)

	t.Run("somebody's app of that name is not taken for the platform", func(t *testing.T) {
		name := hoist.SystemApp
		if _, err := db.UpdateApp(ctx, app.ID, hoist.AppChange{Name: &name}); err != nil { // as before it was reserved
			t.Fatal(err)
		}
		made, err := db.MakeSystemApp(ctx, "ann@example.com", "s", "r")
		if err == nil || made || !strings.Contains(err.Error(), "ann@example.com, has to rename it first: hoist rename NEW_NAME -a hoist") {
			t.Errorf("%t, %v", made, err)
		}
		name = "app"
		if now, err := db.UpdateApp(ctx, app.ID, hoist.AppChange{Name: &name}); err != nil || now.System {
			t.Errorf("%+v, %v", now, err)
		}
		for _, want := range []bool{true, false} {
			if made, err := db.MakeSystemApp(ctx, "ann@example.com", "s", "r"); err != nil || made != want {
				t.Errorf("made %t, not %t, %v", made, want, err)
			}
		}
	})

	// The seed hands over from the runtime inside it when that has no dyno any more.
	t.Run("a worker that is to be drained takes nothing in the same moment", func(t *testing.T) {
		runtime, worker := roles.Open(hoist.ComponentRuntime), hoist.Worker{ID: hoist.NewID()}
		if _, err := runtime.SeeWorker(ctx, worker); err != nil {
			t.Fatal(err)
		}
		dyno, err := db.RunDyno(ctx, hoist.Dyno{ID: hoist.NewID(), AppID: app.ID, Type: "run", Size: "Basic", Command: "x", Env: map[string]string{}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		drain, err := db.Pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer drain.Rollback(ctx)
		if _, err := drain.Exec(ctx, `UPDATE workers SET draining = true`); err != nil {
			t.Fatal(err)
		}
		claimed := make(chan error, 1)
		go func() { claimed <- runtime.ClaimDynos(ctx, worker.ID, []hoist.ID{dyno.ID}) }()
		for waits := false; !waits; time.Sleep(10 * time.Millisecond) {
			select {
			case err := <-claimed:
				t.Fatalf("it took what it wanted while somebody drained it: %v", err)
			default:
			}
			if err := db.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)`).Scan(&waits); err != nil {
				t.Fatal(err)
			}
		}
		if err := drain.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-claimed; err != nil {
			t.Error(err)
		}
		if n, err := roles.Open("seed").DrainWorker(ctx, worker.ID); err != nil || n != 0 {
			t.Errorf("it has %d dynos, %v", n, err)
		}
		if err := runtime.ResumeWorker(ctx, worker.ID); err != nil {
			t.Fatal(err)
		}
		if err := runtime.ClaimDynos(ctx, worker.ID, []hoist.ID{dyno.ID}); err != nil {
			t.Error(err)
		}
		if list, err := runtime.WorkerDynos(ctx, worker.ID); err != nil || len(list) != 1 {
			t.Errorf("afterwards it took %d, %v", len(list), err)
		}
	})
}
