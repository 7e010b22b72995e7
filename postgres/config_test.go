package postgres_test

import (
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
)

// A config change that waits for a deploy makes a release of what was deployed.
func TestConfigChangedDuringADeployKeepsItsSlug(t *testing.T) {
	db, _ := postgrestest.New(t)
	ctx := t.Context()
	app := appOf(t, db)
	slug, release := hoist.NewID(), hoist.NewID()
	deploy, err := db.Pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer deploy.Rollback(ctx)
	for _, sql := range []string{
		`INSERT INTO slugs (id, app_id, blob_key, ready) SELECT $2, $1, 'key', $3::text <> ''`,
		`INSERT INTO releases (id, app_id, version, slug_id, description, account_id) SELECT $3, $1, 100, $2, '', owner_id FROM apps WHERE id = $1`,
		`UPDATE apps SET current_release_id = $3 WHERE id = $1 AND $2::text <> ''`,
	} {
		if _, err := deploy.Exec(ctx, sql, app.ID, slug, release); err != nil {
			t.Fatal(err)
		}
	}
	changed := make(chan error)
	var made *hoist.Release
	go func() {
		var err error
		_, made, err = db.UpdateConfig(ctx, app.ID, app.OwnerID, func(vars hoist.ConfigVars) (string, error) {
			vars["A"] = "1"
			return "Set A", nil
		})
		changed <- err
	}()
	for waits := false; !waits; time.Sleep(10 * time.Millisecond) {
		err := db.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := deploy.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-changed; err != nil || made.SlugID != slug {
		t.Fatalf("%+v, %v; the slug deployed was %s", made, err, slug)
	}
}
