package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
)

// CreateProofBuild inserts a build that only one component may claim, or any
// if that is empty.
func (db *DB) CreateProofBuild(ctx context.Context, b hoist.Build, only hoist.ID) error {
	_, err := db.Pool.Exec(ctx, `
		INSERT INTO builds (id, app_id, account_id, stack, source_key, source_checksum, source_version, only_for)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		b.ID, b.AppID, b.AccountID, b.Stack, b.SourceKey, b.SourceChecksum, b.SourceVersion, nullID(only))
	return err
}

// CreateProofDyno inserts an attached one-off dyno that one worker has to run,
// and returns the address of that one's attach listener.
func (db *DB) CreateProofDyno(ctx context.Context, d hoist.Dyno, worker hoist.ID) (address string, err error) {
	err = db.Pool.QueryRow(ctx, `
		WITH number AS (UPDATE apps SET next_dyno = next_dyno + 1 WHERE id = $2 RETURNING next_dyno - 1 AS n),
		dyno AS (
			INSERT INTO dynos (id, app_id, release_id, kind, type, number, size, command, attach, secret_hash, timeout_s, worker_id)
			SELECT $1, $2, $3, 'run', $4, n, $5, $6, true, $7, $8, $9 FROM number)
		SELECT address FROM workers WHERE id = $9`,
		d.ID, d.AppID, d.ReleaseID, d.Type, d.Size, d.Command, d.SecretHash, int(d.Timeout.Seconds()), worker).Scan(&address)
	return address, found(err, "worker")
}
