package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
)

// CreateLogSession inserts a log session; only the SHA-256 of its token is
// kept.
func (db *DB) CreateLogSession(ctx context.Context, s hoist.LogSession, tokenHash []byte) (hoist.LogSession, error) {
	err := db.Pool.QueryRow(ctx, `
		INSERT INTO log_sessions (id, app_id, token_hash, lines, tail, source, dyno, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, now() + $8::interval) RETURNING expires_at, created_at`,
		s.ID, s.AppID, tokenHash, s.Lines, s.Tail, s.Source, s.Dyno, hoist.LogSessionConnect).
		Scan(&s.ExpiresAt, &s.CreatedAt)
	return s, err
}
