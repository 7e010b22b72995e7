package postgres_test

import (
	"slices"
	"testing"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
)

// Who ends just after an outage of the database does not take away the rows of those who
// could not renew them, but those of processes that others of their type have outlived.
func TestUnregisterAfterAnOutage(t *testing.T) {
	db, _ := postgrestest.New(t)
	var ids []hoist.ID
	for _, c := range []struct{ component, age string }{{"api", "1 min"}, {"api", "59 s"}, {"git", "1 min"}, {"git", "0 s"}, {"logs", "0 s"}} {
		id := hoist.NewID()
		if _, err := db.Register(t.Context(), postgres.Registration{ID: id, Type: c.component}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Pool.Exec(t.Context(), `UPDATE components SET seen_at = now() - $2::text::interval WHERE id = $1`, id, c.age); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := db.Unregister(t.Context(), ids[4]); err != nil {
		t.Fatal(err)
	}
	var left []hoist.ID
	if err := db.Pool.QueryRow(t.Context(), `SELECT array_agg(id::text ORDER BY type, seen_at) FROM components`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if want := []hoist.ID{ids[0], ids[1], ids[3]}; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
}
