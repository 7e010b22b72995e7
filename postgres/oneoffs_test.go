package postgres_test

import (
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
)

// One that waits for another to be started counts it.
func TestOneOffsStartedAtOnceAreNotMoreThanTheLimit(t *testing.T) {
	db, _ := postgrestest.New(t)
	ctx := t.Context()
	app := appOf(t, db)
	other, err := db.Pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Rollback(ctx)
	_, err = other.Exec(ctx, `
		WITH app AS (UPDATE apps SET next_dyno = next_dyno + 1 WHERE id = $1 RETURNING id)
		INSERT INTO dynos (id, app_id, kind, type, number, size, command) SELECT $2, id, 'run', 'run', 1, 'Basic', 'x' FROM app`, app.ID, hoist.NewID())
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error)
	go func() {
		_, err := db.RunDyno(ctx, hoist.Dyno{ID: hoist.NewID(), AppID: app.ID, Type: "run", Size: "Basic", Command: "x", Env: map[string]string{}}, 1)
		ran <- err
	}()
	for waits := false; !waits; time.Sleep(10 * time.Millisecond) {
		err := db.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err, ok := hoist.AsError(<-ran); !ok || err.Status != 422 {
		t.Errorf("more than the limit: %v", err)
	}
}
