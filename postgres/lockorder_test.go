package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
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
			for waits := false; !waits; time.Sleep(10 * time.Millisecond) {
				err := db.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`).Scan(&waits)
				if err != nil {
					t.Fatal(err)
				}
			}
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
