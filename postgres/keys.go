package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

const keyColumns = `k.id, k.account_id, a.email, k.public_key, k.comment, k.fingerprint, k.created_at`

func scanKey(row pgx.Row) (k hoist.Key, err error) {
	err = row.Scan(&k.ID, &k.AccountID, &k.Email, &k.PublicKey, &k.Comment, &k.Fingerprint, &k.CreatedAt)
	return k, err
}

// AddKey inserts an SSH public key. An account may add its own again.
func (db *DB) AddKey(ctx context.Context, k hoist.Key) (hoist.Key, error) {
	added, err := scanKey(db.Pool.QueryRow(ctx, `
		WITH k AS (
			INSERT INTO keys AS old (id, account_id, public_key, comment, fingerprint) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (fingerprint) DO UPDATE SET public_key = $3, comment = $4, updated_at = now()
			WHERE old.account_id = $2
			RETURNING *)
		SELECT `+keyColumns+` FROM k JOIN accounts a ON a.id = k.account_id`,
		k.ID, k.AccountID, k.PublicKey, k.Comment, k.Fingerprint))
	if found(err, "") != err {
		return k, hoist.Invalid("Fingerprint %s: this key belongs to another account. Make a new one with ssh-keygen.", k.Fingerprint)
	}
	return added, err
}

// Keys lists an account's SSH public keys.
func (db *DB) Keys(ctx context.Context, accountID hoist.ID) ([]hoist.Key, error) {
	return rowsOf(ctx, db.Pool, scanKey, `
		SELECT `+keyColumns+` FROM keys k JOIN accounts a ON a.id = k.account_id
		WHERE k.account_id = $1 ORDER BY k.created_at`, accountID)
}

// DeleteKey removes an SSH public key of an account.
func (db *DB) DeleteKey(ctx context.Context, accountID, id hoist.ID) error {
	tag, err := db.Pool.Exec(ctx, `DELETE FROM keys WHERE account_id = $1 AND id = $2`, accountID, id)
	if err == nil && tag.RowsAffected() == 0 {
		return hoist.NotFound("key")
	}
	return err
}
