package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
)

// appOf makes an app of a database, and its owner.
func appOf(t *testing.T, db *postgres.DB) hoist.App {
	t.Helper()
	account := hoist.Account{ID: hoist.NewID(), Email: "ann@example.com"}
	if err := db.CreateAccount(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	app, err := db.CreateApp(t.Context(), hoist.App{ID: hoist.NewID(), Name: "app", OwnerID: account.ID, Stack: "s", Region: "r"})
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func TestABuildWhoseReleaseWasMadeDoesNotFail(t *testing.T) {
	db, _ := postgrestest.New(t)
	ctx := t.Context()
	app := appOf(t, db)
	build := hoist.NewID()
	_, err := db.Pool.Exec(ctx, `
		WITH slug AS (INSERT INTO slugs (id, app_id, blob_key, ready) VALUES ($1, $2, 'key', true) RETURNING id)
		INSERT INTO builds (id, app_id, account_id, state, stack, slug_id) SELECT $1, $2, $3, 'built', 's', id FROM slug`, build, app.ID, app.OwnerID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ClaimBuilt(ctx, "first", 0); err != nil {
		t.Fatal(err)
	}
	if b, err := db.ClaimBuilt(ctx, "second", time.Minute); err != nil || b == nil || b.ClaimedBy != "second" {
		t.Fatal(b, err)
	}
	if _, err := db.ReleaseBuild(ctx, build, "first", "Deploy"); !errors.Is(err, hoist.ErrConflict) {
		t.Errorf("with a claim that ran out: %v", err)
	}
	if _, err := db.ReleaseBuild(ctx, build, "second", "Deploy"); err != nil {
		t.Fatal(err)
	}
	if err := db.FinishBuild(ctx, build, "second", hoist.BuildFailed, "no answer", ""); !errors.Is(err, hoist.ErrConflict) {
		t.Errorf("it failed after its release: %v", err)
	}
	if err := db.FinishBuild(ctx, build, "second", hoist.BuildSucceeded, "", ""); err != nil {
		t.Error(err)
	}
}
