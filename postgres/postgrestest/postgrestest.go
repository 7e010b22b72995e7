// Package postgrestest starts a real PostgreSQL for tests.
package postgrestest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
)

// New returns a migrated database in a cluster of the test's own, with a role
// for each component, and ends it with the test.
func New(t testing.TB) (*postgres.DB, *Roles) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hoist-pg")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o711)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &postgres.Server{Dir: dir + "/pg", Password: "test", Mortal: true}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if err := s.Init(ctx); err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	ctx, failed := context.WithCancelCause(ctx)
	go func() { defer close(done); failed(s.Run(run)) }()
	t.Cleanup(func() { stop(); <-done })
	roles := map[string]string{"hoist_seed": "test"}
	for _, c := range hoist.Components {
		roles["hoist_"+c] = "test"
	}
	if err := s.Ready(ctx, roles); err != nil {
		t.Fatal(err, context.Cause(ctx))
	}
	r := &Roles{t: t, server: s}
	db := r.Open(hoist.ComponentAPI)
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	return db, r
}

// Roles opens the database as a component does, with its privileges only.
type Roles struct {
	t      testing.TB
	server *postgres.Server
}

// URL is the component's DATABASE_URL.
func (r *Roles) URL(component string) string { return r.server.RoleURL("hoist_"+component, "test") }

// Open returns a pool with the component's role, closed with the test.
func (r *Roles) Open(component string) *postgres.DB {
	db, err := postgres.Open(context.Background(), r.URL(component))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(db.Close)
	return db
}
