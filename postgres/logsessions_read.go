package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
)

// ConnectLogSession returns the session of a token's SHA-256; ErrNotFound if
// there is none or it has expired. A session that tails, once connected, is
// good for LogSessionTail, so that a reader may come back to it.
func (db *DB) ConnectLogSession(ctx context.Context, tokenHash []byte) (hoist.LogSession, error) {
	var s hoist.LogSession
	err := db.Pool.QueryRow(ctx, `
		UPDATE log_sessions
		SET expires_at = CASE WHEN tail THEN created_at + $2::interval ELSE expires_at END
		WHERE token_hash = $1 AND expires_at > now()
		RETURNING id, app_id, lines, tail, source, dyno, expires_at, created_at`,
		tokenHash, hoist.LogSessionTail).
		Scan(&s.ID, &s.AppID, &s.Lines, &s.Tail, &s.Source, &s.Dyno, &s.ExpiresAt, &s.CreatedAt)
	return s, found(err, "log session")
}

// LogSessionExists reports whether a session is there and has not expired: it
// ends with its app.
func (db *DB) LogSessionExists(ctx context.Context, id hoist.ID) (bool, error) {
	var n int
	err := db.Pool.QueryRow(ctx, `SELECT count(*) FROM log_sessions WHERE id = $1 AND expires_at > now()`, id).Scan(&n)
	return n > 0, err
}

// DeleteExpiredLogSessions is the collector of log sessions.
func (db *DB) DeleteExpiredLogSessions(ctx context.Context) error {
	_, err := db.Pool.Exec(ctx, `DELETE FROM log_sessions WHERE expires_at < now()`)
	return err
}
