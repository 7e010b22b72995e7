package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
)

func TestRoutesAreWhatTheRouterNeeds(t *testing.T) {
	db, roles := postgrestest.New(t)
	router := roles.Open(hoist.ComponentRouter)
	ctx := context.Background()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := db.Pool.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	owner, app, other, worker := hoist.NewID(), hoist.NewID(), hoist.NewID(), hoist.NewID()
	exec(`INSERT INTO accounts (id, email) VALUES ($1, 'a@example.com')`, owner)
	for id, name := range map[hoist.ID]string{app: "one", other: "two"} {
		exec(`INSERT INTO apps (id, name, owner_id, stack, region, maintenance) VALUES ($1, $2, $3, 's', 'r', $2 = 'two')`, id, name, owner)
	}
	exec(`INSERT INTO domains (id, app_id, hostname) VALUES ($1, $2, 'b.test'), ($3, $2, 'a.test')`, hoist.NewID(), app, hoist.NewID())
	exec(`INSERT INTO formation (id, app_id, type, command, quantity, size) VALUES ($1, $2, 'web', 'x', 2, 'Basic'), ($3, $2, 'worker', 'x', 5, 'Basic')`, hoist.NewID(), app, hoist.NewID())
	exec(`INSERT INTO workers (id, address, memory) VALUES ($1, '127.0.0.1:9', 0)`, worker)
	up := hoist.NewID()
	for i, d := range []struct{ id, kind, typ, state, address string }{
		{up, "formation", "web", "up", "10.0.0.1:80"}, {hoist.NewID(), "formation", "web", "stopping", "10.0.0.2:80"},
		{hoist.NewID(), "formation", "worker", "up", ""}, {hoist.NewID(), "run", "web", "up", "10.0.0.3:80"},
	} {
		exec(`INSERT INTO dynos (id, app_id, kind, type, number, size, command, state, address, attach, secret_hash, worker_id)
			VALUES ($1, $2, $3, $4, $8, 'Basic', 'x', $5, $6, $3 = 'run', CASE WHEN $3 = 'run' THEN '\x01'::bytea END, $7)`, d.id, app, d.kind, d.typ, d.state, d.address, worker, i+1)
	}
	all, err := router.Routes(ctx, nil)
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	one, err := router.Routes(ctx, []hoist.ID{app, hoist.NewID()})
	want := []hoist.Route{{AppID: app, Name: "one", Domains: []string{"a.test", "b.test"}, Web: 2,
		Dynos: []hoist.WebDyno{{ID: up, Number: 1, State: hoist.DynoUp, Address: "10.0.0.1:80"}}}}
	if d := cmp.Diff(want, one); err != nil || d != "" {
		t.Error(err, d)
	}
	if id, address, err := router.AttachAddress(ctx, []byte{1}); id != app || address != "127.0.0.1:9" || err != nil {
		t.Error(id, address, err)
	}
	if _, _, err := router.AttachAddress(ctx, []byte{2}); !errors.Is(err, hoist.ErrNotFound) {
		t.Error(err)
	}
}
