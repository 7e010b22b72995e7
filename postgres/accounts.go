package postgres

import (
	"context"

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

// UpdateAccount writes the e-mail address, name and password hash.
func (db *DB) UpdateAccount(ctx context.Context, a hoist.Account) (hoist.Account, error) {
	updated, err := scanAccount(db.Pool.QueryRow(ctx, `
		UPDATE accounts SET email = $2, name = $3, password_hash = $4, updated_at = now() WHERE id = $1
		RETURNING `+accountColumns, a.ID, a.Email, a.Name, a.PasswordHash))
	return updated, emailTaken(found(err, "user"), a.Email)
}
