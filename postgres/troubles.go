package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Troubles are why dynos do not run, a line each, the latest first.
func (db *DB) Troubles(ctx context.Context, limit int) ([]string, error) {
	rows, err := db.Pool.Query(ctx, `
		SELECT a.name || ' ' || d.type || '.' || d.number || ': ' || d.reason FROM dynos d JOIN apps a ON a.id = d.app_id
		WHERE d.state = 'crashed' AND d.reason <> '' ORDER BY d.state_at DESC LIMIT $1`, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
