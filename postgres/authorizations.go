package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

const authorizationColumns = `t.id, t.account_id, t.description, t.scope, t.token_hash, t.expires_at, t.created_at, t.updated_at`

func scanAuthorization(row pgx.Row) (t hoist.Authorization, err error) {
	err = row.Scan(&t.ID, &t.AccountID, &t.Description, &t.Scope, &t.TokenHash, &t.ExpiresAt, &t.CreatedAt, &t.UpdatedAt)
	return t, err
}

// CreateAuthorization inserts a token's hash and drops the account's expired
// ones.
func (db *DB) CreateAuthorization(ctx context.Context, t hoist.Authorization) (hoist.Authorization, error) {
	if _, err := db.Pool.Exec(ctx, `DELETE FROM authorizations WHERE account_id = $1 AND expires_at < now()`, t.AccountID); err != nil {
		return t, err
	}
	return scanAuthorization(db.Pool.QueryRow(ctx, `
		INSERT INTO authorizations AS t (id, account_id, description, scope, token_hash, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6) RETURNING `+authorizationColumns,
		t.ID, t.AccountID, t.Description, t.Scope, t.TokenHash, t.ExpiresAt))
}

// Authenticate returns whose token has the hash, and the token's row;
// ErrUnauthorized if there is none or it has expired.
func (db *DB) Authenticate(ctx context.Context, tokenHash []byte) (hoist.Account, hoist.Authorization, error) {
	var a hoist.Account
	var t hoist.Authorization
	err := db.Pool.QueryRow(ctx, `
		SELECT a.id, a.email, a.name, a.password_hash, a.created_at, a.updated_at, `+authorizationColumns+`
		FROM authorizations t JOIN accounts a ON a.id = t.account_id
		WHERE t.token_hash = $1 AND (t.expires_at IS NULL OR t.expires_at > now())`, tokenHash).Scan(
		&a.ID, &a.Email, &a.Name, &a.PasswordHash, &a.CreatedAt, &a.UpdatedAt,
		&t.ID, &t.AccountID, &t.Description, &t.Scope, &t.TokenHash, &t.ExpiresAt, &t.CreatedAt, &t.UpdatedAt)
	if found(err, "") != err {
		return a, t, hoist.ErrUnauthorized
	}
	return a, t, err
}

// Authorizations lists an account's tokens that have not expired.
func (db *DB) Authorizations(ctx context.Context, accountID hoist.ID) ([]hoist.Authorization, error) {
	return rowsOf(ctx, db.Pool, scanAuthorization, `
		SELECT `+authorizationColumns+` FROM authorizations t
		WHERE account_id = $1 AND (expires_at IS NULL OR expires_at > now()) ORDER BY created_at`, accountID)
}

// Authorization returns one token of an account.
func (db *DB) Authorization(ctx context.Context, accountID, id hoist.ID) (hoist.Authorization, error) {
	if !isID(id) {
		return hoist.Authorization{}, hoist.NotFound("authorization")
	}
	t, err := scanAuthorization(db.Pool.QueryRow(ctx, `
		SELECT `+authorizationColumns+` FROM authorizations t WHERE account_id = $1 AND id = $2`, accountID, id))
	return t, found(err, "authorization")
}

// DeleteAuthorization revokes a token of an account.
func (db *DB) DeleteAuthorization(ctx context.Context, accountID, id hoist.ID) (hoist.Authorization, error) {
	if !isID(id) {
		return hoist.Authorization{}, hoist.NotFound("authorization")
	}
	t, err := scanAuthorization(db.Pool.QueryRow(ctx, `
		DELETE FROM authorizations t WHERE account_id = $1 AND id = $2 RETURNING `+authorizationColumns, accountID, id))
	return t, found(err, "authorization")
}

// DescribeAuthorization changes what a token is said to be for.
func (db *DB) DescribeAuthorization(ctx context.Context, accountID, id hoist.ID, description string) (hoist.Authorization, error) {
	if !isID(id) {
		return hoist.Authorization{}, hoist.NotFound("authorization")
	}
	t, err := scanAuthorization(db.Pool.QueryRow(ctx, `
		UPDATE authorizations t SET description = $3, updated_at = now()
		WHERE account_id = $1 AND id = $2 RETURNING `+authorizationColumns, accountID, id, description))
	return t, found(err, "authorization")
}

// RegenerateAuthorization replaces a token: the old one is worth nothing from
// now on.
func (db *DB) RegenerateAuthorization(ctx context.Context, accountID, id hoist.ID, tokenHash []byte) (hoist.Authorization, error) {
	if !isID(id) {
		return hoist.Authorization{}, hoist.NotFound("authorization")
	}
	t, err := scanAuthorization(db.Pool.QueryRow(ctx, `
		UPDATE authorizations t SET token_hash = $3, updated_at = now()
		WHERE account_id = $1 AND id = $2 RETURNING `+authorizationColumns, accountID, id, tokenHash))
	return t, found(err, "authorization")
}
