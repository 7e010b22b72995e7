package postgres

import (
	"context"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

const accountColumns = `id, email, name, password_hash, created_at, updated_at`

func scanAccount(row pgx.Row) (a hoist.Account, err error) {
	err = row.Scan(&a.ID, &a.Email, &a.Name, &a.PasswordHash, &a.CreatedAt, &a.UpdatedAt)
	return a, err
}

// CreateAccount inserts an account; the ID, e-mail address, name and password
// hash are taken from a.
func (db *DB) CreateAccount(ctx context.Context, a hoist.Account) error {
	_, err := db.Pool.Exec(ctx, `INSERT INTO accounts (id, email, name, password_hash) VALUES ($1, $2, $3, $4)`,
		a.ID, a.Email, a.Name, a.PasswordHash)
	return emailTaken(err, a.Email)
}

func emailTaken(err error, email string) error {
	if unique(err) {
		return hoist.Invalid("Email %s is already taken.", email)
	}
	return err
}

// Account returns the account with an ID or an e-mail address, whose case does
// not matter.
func (db *DB) Account(ctx context.Context, identity string) (hoist.Account, error) {
	where := `lower(email) = lower($1)`
	if isID(identity) {
		where = `id = $1`
	}
	a, err := scanAccount(db.Pool.QueryRow(ctx, `SELECT `+accountColumns+` FROM accounts WHERE `+where, identity))
	return a, found(err, "user")
}

// UpdateAccount changes an account and returns it as it is then.
func (db *DB) UpdateAccount(ctx context.Context, id hoist.ID, change hoist.AccountChange) (a hoist.Account, err error) {
	err = db.tx(ctx, func(tx pgx.Tx) error {
		a, err = scanAccount(tx.QueryRow(ctx, `
			UPDATE accounts SET email = coalesce($2, email), name = coalesce($3, name),
				password_hash = coalesce($4, password_hash), updated_at = now()
			WHERE id = $1 RETURNING `+accountColumns, id, change.Email, change.Name, change.PasswordHash))
		if err != nil || change.RevokeBut == "" {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM authorizations WHERE account_id = $1 AND id <> $2`, id, change.RevokeBut)
		return err
	})
	if change.Email != nil {
		err = emailTaken(err, *change.Email)
	}
	return a, found(err, "user")
}

// DeleteAccount deletes an account with its keys, tokens and collaborations. It
// must own no apps. What it did on apps of others is still shown: then its row
// stays, as nobody's.
func (db *DB) DeleteAccount(ctx context.Context, id hoist.ID) error {
	return db.tx(ctx, func(tx pgx.Tx) error {
		// Who makes an app for the account waits for this lock.
		if err := found(tx.QueryRow(ctx, `SELECT id FROM accounts WHERE id = $1 FOR UPDATE`, id).Scan(&id), "user"); err != nil {
			return err
		}
		var owned []string
		err := tx.QueryRow(ctx, `SELECT coalesce(array_agg(name ORDER BY name), '{}') FROM apps WHERE owner_id = $1`, id).Scan(&owned)
		if err != nil {
			return err
		}
		if len(owned) > 0 {
			return hoist.Invalid("The account owns %d apps (%s). Destroy them first.", len(owned), listOf(owned, 5))
		}
		for _, table := range []string{"keys", "authorizations", "collaborators"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE account_id = $1`, id); err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, `
			DELETE FROM accounts WHERE id = $1
				AND NOT EXISTS (SELECT FROM releases WHERE account_id = $1) AND NOT EXISTS (SELECT FROM builds WHERE account_id = $1)`, id)
		if err != nil || tag.RowsAffected() > 0 {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE accounts SET email = id || '@deleted.invalid', name = '', password_hash = '', updated_at = now() WHERE id = $1`, id)
		return err
	})
}

// listOf is the first n of names, separated by commas.
func listOf(names []string, n int) string {
	if len(names) > n {
		names = append(names[:n:n], "…")
	}
	return strings.Join(names, ", ")
}
