package postgres

import (
	"context"
	"time"

	"github.com/hoist-sh/hoist"
)

// Registration is a running process of the platform, as the others see it.
type Registration struct {
	ID        hoist.ID
	Type      string
	Address   string // ip:port of its HTTP server, for the router; may be empty
	Version   string
	WaitsFor  string // for people; empty when it lacks nothing
	StartedAt time.Time
	SeenAt    time.Time
}

// Expiry is how long a process that says nothing is still believed in.
const Expiry = 10 * time.Second

// Register writes a process's row, or renews it.
func (db *DB) Register(ctx context.Context, r Registration) error {
	_, err := db.Pool.Exec(ctx, `
		INSERT INTO components (id, type, address, version, waits_for) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET address = $3, version = $4, waits_for = $5, seen_at = now()`,
		r.ID, r.Type, r.Address, r.Version, r.WaitsFor)
	return err
}

// Unregister removes a process's row, and any that have expired.
func (db *DB) Unregister(ctx context.Context, id hoist.ID) error {
	_, err := db.Pool.Exec(ctx, `DELETE FROM components WHERE id = $1 OR seen_at < now() - $2::interval`, id, Expiry)
	return err
}

// KeepRegistered registers r every 2 s until ctx ends, then unregisters it.
// bus is rung when it comes and goes.
func (db *DB) KeepRegistered(ctx context.Context, bus hoist.Bus, r Registration) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	registered := false
	for {
		if err := db.Register(ctx, r); err == nil && !registered {
			registered = true
			bus.Ring(hoist.BellComponent, []byte(r.Type))
		}
		select {
		case <-ctx.Done():
			bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			db.Unregister(bye, r.ID)
			bus.Ring(hoist.BellComponent, []byte(r.Type))
			return
		case <-tick.C:
		}
	}
}

// Registrations lists the processes seen lately.
func (db *DB) Registrations(ctx context.Context) ([]Registration, error) {
	rows, err := db.Pool.Query(ctx, `
		SELECT id, type, address, version, waits_for, started_at, seen_at FROM components
		WHERE seen_at > now() - $1::interval ORDER BY type, started_at`, Expiry)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Registration
	for rows.Next() {
		var r Registration
		if err := rows.Scan(&r.ID, &r.Type, &r.Address, &r.Version, &r.WaitsFor, &r.StartedAt, &r.SeenAt); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}
