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

// Who waits for an app holds nothing yet that the app's holder may want: else both would wait.
func TestAppsAreLockedFirst(t *testing.T) {
	db, _ := postgrestest.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	app := appOf(t, db)
	if _, err := db.PrepareRepo(ctx, app.ID, "refs/heads/main"); err != nil {
		t.Fatal(err)
	}
	if err := db.InsertPushedBuild(ctx, hoist.Build{ID: hoist.NewID(), AppID: app.ID, AccountID: app.OwnerID}); err != nil {
		t.Fatal(err)
	}
	build, err := db.ClaimBuildJob(ctx, "me", "", true, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, table string
		do          func() error
	}{
		{"a push without a release", "repos", func() error { return db.MoveRefs(ctx, app.ID, hoist.Push{}) }},
		{"new packs", "repos", func() error { return db.ReplacePacks(ctx, app.ID, 1, hoist.Pack{Key: "p", Size: 1}) }},
		{"a build's dyno", "builds", func() error {
			_, err := db.StartBuildDyno(ctx, build, hoist.Dyno{ID: hoist.NewID(), Size: "Basic", Env: map[string]string{}})
			return err
		}},
		{"a rollback of the platform", "releases", func() error {
			_, err := db.RollbackSystem(ctx, app.CurrentReleaseID, hoist.NewID(), "x")
			if errors.Is(err, hoist.ErrNotFound) {
				return nil
			}
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			holder, err := db.Pool.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer holder.Rollback(context.Background())
			if _, err := holder.Exec(ctx, `SELECT FROM apps FOR UPDATE`); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- c.do() }()
			untilSomebodyWaits(t, db)
			if _, err := holder.Exec(ctx, `SELECT FROM `+c.table+` FOR UPDATE NOWAIT`); err != nil {
				t.Error(err)
			}
			holder.Rollback(ctx)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// untilSomebodyWaits returns when a transaction waits for a lock.
func untilSomebodyWaits(t *testing.T, db *postgres.DB) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var waits bool
		err := db.Pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`).Scan(&waits)
		if err != nil || time.Now().After(deadline) {
			t.Fatal("nobody waits for a lock: ", err)
		}
		if waits {
			return
		}
	}
}

// An app that is destroyed while its formation is reconciled: its dynos would go after it, and Reconcile, which has
// changed one, would need it for another.
func TestAnAppIsNotDestroyedWhileItIsReconciled(t *testing.T) {
	db, _ := postgrestest.New(t)
	ctx := t.Context()
	app := appOf(t, db)
	dyno := hoist.Dyno{ID: hoist.NewID(), AppID: app.ID, ReleaseID: app.CurrentReleaseID, Kind: hoist.KindFormation, Type: "web", Number: 1, Size: "Basic", Want: hoist.WantUp}
	destroyed := make(chan error, 1)
	changed, err := db.Reconcile(ctx, app.ID, func(hoist.App, []hoist.ProcessType, []hoist.Dyno, []hoist.Worker, time.Time) []hoist.Dyno {
		go func() { destroyed <- db.DeleteApp(ctx, app.ID) }()
		untilSomebodyWaits(t, db)
		return []hoist.Dyno{dyno}
	})
	if err != nil || len(changed) != 1 {
		t.Error(changed, err)
	}
	if err := <-destroyed; err != nil {
		t.Error(err)
	}
	if apps, err := db.AppIDs(ctx); err != nil || len(apps) != 0 {
		t.Error(apps, err)
	}
}
