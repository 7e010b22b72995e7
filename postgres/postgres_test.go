package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/postgres/postgrestest"
)

func TestMigrateIsSafeUnderSeveralProcesses(t *testing.T) {
	_, roles := postgrestest.New(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := roles.Open("api").Migrate(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// While a newer program migrates, one of the release before starts as usual.
func TestWhoNeedsNoMigrationDoesNotWaitForOne(t *testing.T) {
	_, roles := postgrestest.New(t)
	db := roles.Open("api")
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	tx, err := db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	// tern's lock, migrate.go.
	if _, err := tx.Exec(t.Context(), `SELECT pg_advisory_lock(9628173550095224); CREATE TABLE more (x integer)`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := db.Migrate(ctx); err != nil {
		t.Error(err)
	}
}

// Who looks for a build to release while the database is away must not take an empty one for it.
func TestClaimBuiltOfADatabaseThatIsAway(t *testing.T) {
	db, _ := postgrestest.New(t)
	if b, err := db.ClaimBuilt(t.Context(), "test", time.Minute); b != nil || err != nil {
		t.Errorf("with nothing to release: %+v, %v", b, err)
	}
	db.Pool.Close()
	if b, err := db.ClaimBuilt(t.Context(), "test", time.Minute); b != nil || err == nil {
		t.Errorf("without the database: %+v, %v", b, err)
	}
}
