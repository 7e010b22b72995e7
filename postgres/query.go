package postgres

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// oneMoment is for transactions whose statements shall all see the database as it was at the
// first one, and only read.
var oneMoment = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

// rowsOf runs a query and scans each row.
func rowsOf[T any](ctx context.Context, q querier, scan func(pgx.Row) (T, error), sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (T, error) { return scan(row) })
}

// unique reports whether err says that a unique index had the value already.
func unique(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "23505"
}

// isID reports whether s has the form of an ID; anything else would be an
// error of the database, not a row that is missing.
func isID(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }

// nullID is an ID column's value: NULL for an empty one.
func nullID(id string) any {
	if id == "" {
		return nil
	}
	return id
}
