package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
)

// After the clock was set back, those who are there now count, and not those whose rows
// are from the future.
func TestAClockThatWasSetBack(t *testing.T) {
	_, roles := postgrestest.New(t)
	ctx := context.Background()
	db, router, compile := roles.Open("api"), roles.Open("router"), roles.Open("compile")
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := db.Pool.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	account, app, build := hoist.NewID(), hoist.NewID(), hoist.NewID()
	exec(`INSERT INTO accounts (id, email) VALUES ($1, 'ada@example.com')`, account)
	exec(`INSERT INTO apps (id, name, owner_id, stack, region) VALUES ($1, 'app', $2, 's', 'r')`, app, account)
	exec(`INSERT INTO builds (id, app_id, account_id, stack) VALUES ($1, $2, $3, 's')`, build, app, account)
	dead, alive := hoist.NewID(), hoist.NewID()
	register := func(id hoist.ID, address string) {
		t.Helper()
		if _, err := db.Register(ctx, postgres.Registration{ID: id, Type: hoist.ComponentAPI, Address: address}); err != nil {
			t.Fatal(err)
		}
	}
	register(dead, "127.0.0.1:1")
	if _, err := db.SeeWorker(ctx, hoist.Worker{ID: dead, Address: "127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := compile.ClaimBuildJob(ctx, "dead", "", true, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	for _, later := range []string{`components SET seen_at = seen_at`, `workers SET seen_at = seen_at`, `builds SET lease_until = lease_until`} {
		exec(`UPDATE ` + later + ` + interval '1 day'`)
	}
	register(alive, "127.0.0.1:2")

	if n, err := db.BackToThePresent(ctx); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	if n, err := db.BackToThePresent(ctx); err != nil || n != 0 {
		t.Errorf("once more it changed %d rows, %v", n, err)
	}
	if _, err := compile.ClaimBuildJob(ctx, "alive", "", true, 30*time.Second); err != nil {
		t.Errorf("the build waits for its dead worker: %v", err)
	}
	if _, err := compile.ClaimBuildJob(ctx, "third", "", true, 30*time.Second); !errors.Is(err, hoist.ErrNotFound) {
		t.Errorf("a lease of now does not hold: %v", err)
	}
	exec(`UPDATE workers SET seen_at = seen_at - interval '11 seconds'`) // so much later
	exec(`UPDATE components SET seen_at = seen_at - interval '11 seconds' WHERE id = $1`, dead)
	register(alive, "127.0.0.1:2")
	if list, err := router.Services(ctx); err != nil || len(list) != 1 || list[0].Address != "127.0.0.1:2" {
		t.Errorf("requests for api go to %v, %v", list, err)
	}
	for _, look := range []struct {
		self hoist.ID
		left int
	}{{dead, 1}, {alive, 0}} { // nobody loses itself
		if _, err := roles.Open("runtime").LoseWorkers(ctx, look.self, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		if list, err := db.Workers(ctx); err != nil || len(list) != look.left {
			t.Errorf("workers that are not lost: %v, %v", list, err)
		}
	}
}
