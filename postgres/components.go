package postgres

import (
	"context"
	"time"

	"github.com/hoist-sh/hoist"
)

// Registration is a running process of the platform, as the others see it.
type Registration struct {
	ID      hoist.ID
	Type    string
	Address string // ip:port of its HTTP server, for the router; may be empty
	// Doors are its own addresses beside Address, by the name of the public
	// socket that does the same: "ssh" of git, "http" of router.
	Doors   map[string]string
	Version string
	// Probation is that of a process of a release that has not proven itself:
	// nobody gives it work but the seed, until that sets Proven.
	Probation bool
	WaitsFor  string // for people; empty when it lacks nothing
	StartedAt time.Time
	SeenAt    time.Time
}

// Expiry is how long a process that says nothing is still believed in.
const Expiry = 10 * time.Second

// Register writes a process's row, or renews it, and reports whether its
// probation is over.
func (db *DB) Register(ctx context.Context, r Registration) (proven bool, err error) {
	doors := r.Doors
	if doors == nil {
		doors = map[string]string{}
	}
	err = db.Pool.QueryRow(ctx, `
		INSERT INTO components (id, type, address, version, waits_for, doors, proven) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET address = $3, version = $4, waits_for = $5, doors = $6, seen_at = now()
		RETURNING proven`,
		r.ID, r.Type, r.Address, r.Version, r.WaitsFor, doors, !r.Probation).Scan(&proven)
	return proven, err
}

// EndProbation lets a process have work like any other. ErrNotFound means that
// it is not registered.
func (db *DB) EndProbation(ctx context.Context, id hoist.ID) error {
	tag, err := db.Pool.Exec(ctx, `UPDATE components SET proven = true WHERE id = $1`, id)
	if err == nil && tag.RowsAffected() == 0 {
		return hoist.NotFound("component")
	}
	return err
}

// Unregister removes a process's row, and any that have expired: as of Services, only those count
// that are older than another of their type. After an outage of the database all are old.
func (db *DB) Unregister(ctx context.Context, id hoist.ID) error {
	_, err := db.Pool.Exec(ctx, `
		DELETE FROM components c WHERE id = $1
			OR EXISTS (SELECT FROM components n WHERE n.type = c.type AND n.seen_at > c.seen_at + $2::interval)`, id, Expiry)
	return err
}

// KeepRegistered registers r every 2 s, and when it lacks something else, until ctx ends, then
// unregisters it. waitsFor is asked what it lacks; nil means nothing ever. bus is rung when it comes and goes. proven is called once, when there is no
// probation or it is over.
func (db *DB) KeepRegistered(ctx context.Context, bus hoist.Bus, r Registration, waitsFor func() string, proven func()) {
	if !r.Probation {
		proven()
	}
	over := make(chan struct{}, 1)
	if r.Probation {
		bus.Listen(ctx, hoist.BellProven+r.ID, func(string, []byte) {
			select {
			case over <- struct{}{}:
			default:
			}
		})
	}
	if waitsFor == nil {
		waitsFor = func() string { return "" }
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	registered := false
	for {
		r.WaitsFor = waitsFor()
		due := time.Now().Add(2 * time.Second)
		is, err := db.Register(ctx, r)
		if err == nil && !registered {
			registered = true
			bus.Ring(hoist.BellComponent, []byte(r.Type))
		}
		if err == nil && is && r.Probation {
			r.Probation = false
			proven()
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
				defer cancel()
				db.Unregister(bye, r.ID)
				bus.Ring(hoist.BellComponent, []byte(r.Type))
				return
			case now := <-tick.C:
				waiting = now.Before(due) && waitsFor() == r.WaitsFor
			case <-over:
				waiting = false
			}
		}
	}
}

// Registrations lists the processes seen lately.
func (db *DB) Registrations(ctx context.Context) ([]Registration, error) {
	rows, err := db.Pool.Query(ctx, `
		SELECT id, type, address, version, waits_for, doors, NOT proven, started_at, seen_at FROM components
		WHERE seen_at > now() - $1::interval ORDER BY type, started_at`, Expiry)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Registration
	for rows.Next() {
		var r Registration
		if err := rows.Scan(&r.ID, &r.Type, &r.Address, &r.Version, &r.WaitsFor, &r.Doors, &r.Probation, &r.StartedAt, &r.SeenAt); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}
