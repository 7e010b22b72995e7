// Package postgres is the one place that speaks SQL. One file per subject;
// each component uses the methods it needs of DB through an interface of its
// own.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/tern/v2/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed grants.sql
var grants string

// SchemaVersion is the schema this program needs: the number of the last
// migration.
const SchemaVersion = 4

// DB is a pool of connections to the platform's database.
type DB struct {
	Pool *pgxpool.Pool
}

// Open makes a pool for a database URL. It does not wait for the database.
func Open(ctx context.Context, url string) (*DB, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	cfg.MaxConns = max(cfg.MaxConns, 8)
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &DB{Pool: pool}, nil
}

// Ping returns an error if the database does not answer.
func (db *DB) Ping(ctx context.Context) error { return db.Pool.Ping(ctx) }

// Close closes all connections.
func (db *DB) Close() { db.Pool.Close() }

// Migrate brings the schema to SchemaVersion and renews the grants, unless there is a newer
// one. Several processes may call it at once; tern takes an advisory lock.
func (db *DB) Migrate(ctx context.Context) error {
	if err := db.migrateTo(ctx, SchemaVersion); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return db.tx(ctx, func(tx pgx.Tx) error {
		// Grants rewrite catalogue rows: two at once would fail.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(728274)`); err != nil {
			return err
		}
		// Those of a newer schema are a newer program's, whose processes may need more.
		var there int
		if err := tx.QueryRow(ctx, `SELECT version FROM public.schema_version`).Scan(&there); err != nil || there > SchemaVersion {
			return err
		}
		_, err := tx.Exec(ctx, grants)
		return err
	})
}

// migrateTo brings the schema to a version, if it is not there yet.
func (db *DB) migrateTo(ctx context.Context, version int) error {
	conn, err := db.Pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	// Who needs nothing must not wait for the migration of a newer program: tern locks before it looks.
	var there int
	if err := conn.QueryRow(ctx, `SELECT version FROM public.schema_version`).Scan(&there); err == nil && there >= version {
		return nil
	}
	m, err := migrate.NewMigrator(ctx, conn.Conn(), "public.schema_version")
	if err != nil {
		return err
	}
	dir, _ := fs.Sub(migrations, "migrations")
	if err := m.LoadMigrations(dir); err != nil {
		return err
	}
	v, err := m.GetCurrentVersion(ctx)
	if err != nil || v >= int32(version) { // a newer schema is compatible with us
		return err
	}
	return m.MigrateTo(ctx, int32(version))
}

// WaitForSchema returns once the schema is at least SchemaVersion. waiting is
// called with a text for people whenever what is missing changes.
func (db *DB) WaitForSchema(ctx context.Context, waiting func(what string)) error {
	last := ""
	for {
		var v int
		err := db.Pool.QueryRow(ctx, `SELECT version FROM public.schema_version`).Scan(&v)
		what := ""
		switch {
		case err != nil && ctx.Err() == nil:
			what = "database: " + err.Error()
		case v < SchemaVersion:
			what = fmt.Sprintf("schema version %d (the database has %d; api migrates it)", SchemaVersion, v)
		default:
			if last != "" {
				waiting("")
			}
			return nil
		}
		if what != last {
			waiting(what)
			last = what
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// tx runs f in a transaction, committing if it returns nil.
func (db *DB) tx(ctx context.Context, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, db.Pool, f)
}

// found turns pgx.ErrNoRows into the user's "Couldn't find that …".
func found(err error, what string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return hoist.NotFound(what)
	}
	return err
}
