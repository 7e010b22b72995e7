package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/jackc/pgx/v5"
)

// notKept are the tables that say what runs at the moment; a snapshot leaves
// them out, as they are untrue on any other machine.
var notKept = []string{"schema_version", "components", "workers", "dynos", "log_sessions"}

// Table is a table of a snapshot, with its columns in the order of its rows.
type Table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

// StoredBlob is a blob that a row refers to.
type StoredBlob struct {
	Key    string
	SHA256 string // hexadecimal; may be empty
	Size   int64
}

// Snapshot is the database at one moment, whatever changes meanwhile.
type Snapshot struct {
	Schema int     // its version
	Tables []Table // those referred to before those that refer to them
	Blobs  []StoredBlob
	Apps   int

	tx pgx.Tx
}

// Snapshot calls f with the database as it is now. Open it as the database's
// owner: the components may not read everything.
func (db *DB) Snapshot(ctx context.Context, f func(*Snapshot) error) error {
	return pgx.BeginTxFunc(ctx, db.Pool, oneMoment, func(tx pgx.Tx) error {
		s := &Snapshot{tx: tx}
		if err := tx.QueryRow(ctx, `SELECT version, (SELECT count(*) FROM apps) FROM public.schema_version`).Scan(&s.Schema, &s.Apps); err != nil {
			return err
		}
		var err error
		if s.Tables, err = tables(ctx, tx); err != nil {
			return err
		}
		s.Blobs, err = rowsOf(ctx, tx, func(row pgx.Row) (b StoredBlob, err error) {
			err = row.Scan(&b.Key, &b.SHA256, &b.Size)
			return b, err
		}, `SELECT blob_key, sha256, size FROM slugs WHERE ready
			UNION SELECT p->>'key', p->>'sha256', (p->>'size')::bigint FROM repos, jsonb_array_elements(packs) p
			ORDER BY 1`)
		if err != nil {
			return err
		}
		return f(s)
	})
}

// Copy writes a table's rows in COPY's text format: one a line, whole lines at a time.
func (s *Snapshot) Copy(ctx context.Context, t Table, w io.Writer) error {
	_, err := s.tx.Conn().PgConn().CopyTo(ctx, w, "COPY "+t.sql()+" TO STDOUT")
	if err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	return nil
}

// sql is the table with its columns, as COPY wants it.
func (t Table) sql() string {
	list := pgx.Identifier{"public", t.Name}.Sanitize() + " ("
	for i, c := range t.Columns {
		if i > 0 {
			list += ", "
		}
		list += pgx.Identifier{c}.Sanitize()
	}
	return list + ")"
}

// tables lists all tables but notKept, in an order in which they can be filled.
func tables(ctx context.Context, q querier) (sorted []Table, err error) {
	type table struct {
		Table
		refers []string
	}
	left, err := rowsOf(ctx, q, func(row pgx.Row) (t table, err error) {
		err = row.Scan(&t.Name, &t.Columns, &t.refers)
		return t, err
	}, `SELECT c.relname::text,
			array(SELECT attname::text FROM pg_attribute
				WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum),
			array(SELECT f.relname::text FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid
				WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid <> c.oid)
		FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT c.relname = ANY($1)
		ORDER BY 1`, notKept)
	if err != nil {
		return nil, err
	}
	done := map[string]bool{}
	for len(left) > 0 {
		i := slices.IndexFunc(left, func(t table) bool {
			return !slices.ContainsFunc(t.refers, func(name string) bool { return !done[name] })
		})
		if i < 0 {
			return nil, fmt.Errorf("the table %s is part of a circle of references, or refers to one that is not kept", left[0].Name)
		}
		done[left[i].Name] = true
		sorted = append(sorted, left[i].Table)
		left = slices.Delete(left, i, i+1)
	}
	return sorted, nil
}

// ErrNotEmpty says that a snapshot cannot be loaded over what is there.
var ErrNotEmpty = errors.New("the database holds a platform already")

// Loading is a snapshot being loaded into an empty database.
type Loading struct{ tx pgx.Tx }

// Load calls f to fill an empty database that has the schema of a version. All
// of it is there when Load returns nil, and nothing if not. Open the database as
// the role that shall own the schema (hoist_api in one of ours).
func (db *DB) Load(ctx context.Context, schema int, f func(*Loading) error) error {
	if schema < 1 || schema > SchemaVersion {
		return fmt.Errorf("schema version %d; this program knows 1 to %d", schema, SchemaVersion)
	}
	if err := db.migrateTo(ctx, schema); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	err := db.tx(ctx, func(tx pgx.Tx) error {
		var version, accounts int
		err := tx.QueryRow(ctx, `SELECT version, (SELECT count(*) FROM accounts) FROM public.schema_version`).Scan(&version, &accounts)
		switch {
		case err != nil:
			return err
		case version != schema || accounts > 0:
			return ErrNotEmpty
		}
		if err := f(&Loading{tx}); err != nil {
			return err
		}
		// Builds that had made their release end as usual. Of the others neither
		// the dyno nor the client is there any more.
		_, err = tx.Exec(ctx, `
			UPDATE builds SET state = 'failed', claimed_by = '', lease_until = NULL, finished_at = now(), updated_at = now(),
				error = 'The platform was restored from a backup made while this was being built; push it again.'
			WHERE finished_at IS NULL AND release_id IS NULL`)
		return err
	})
	if err != nil {
		return err
	}
	return db.Migrate(ctx) // on to our own version, and the grants
}

// Rows adds rows as Copy wrote them.
func (l *Loading) Rows(ctx context.Context, t Table, r io.Reader) error {
	_, err := l.tx.Conn().PgConn().CopyFrom(ctx, r, "COPY "+t.sql()+" FROM STDIN")
	if err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	return nil
}
