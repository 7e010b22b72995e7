package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// Missing is why the database does not answer, in a few words for people; empty
// if it does.
func (db *DB) Missing(ctx context.Context) string {
	err := db.Ping(ctx)
	var refused *pgconn.PgError
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return ""
	case errors.As(err, &refused):
		return refused.Message
	}
	return "it does not answer"
}
