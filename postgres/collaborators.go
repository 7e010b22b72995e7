package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

const collaboratorColumns = `c.id, c.app_id, c.account_id, u.email, c.created_at, c.updated_at`

func scanCollaborator(row pgx.Row) (c hoist.Collaborator, err error) {
	err = row.Scan(&c.ID, &c.AppID, &c.AccountID, &c.Email, &c.CreatedAt, &c.UpdatedAt)
	return c, err
}

// Collaborators lists an app's collaborators, its owner not among them.
func (db *DB) Collaborators(ctx context.Context, appID hoist.ID) ([]hoist.Collaborator, error) {
	return rowsOf(ctx, db.Pool, scanCollaborator, `
		SELECT `+collaboratorColumns+` FROM collaborators c JOIN accounts u ON u.id = c.account_id
		WHERE c.app_id = $1 ORDER BY u.email`, appID)
}

// AddCollaborator lets an account work on an app.
func (db *DB) AddCollaborator(ctx context.Context, c hoist.Collaborator) (hoist.Collaborator, error) {
	added, err := scanCollaborator(db.Pool.QueryRow(ctx, `
		WITH c AS (INSERT INTO collaborators (id, app_id, account_id) VALUES ($1, $2, $3) RETURNING *)
		SELECT `+collaboratorColumns+` FROM c JOIN accounts u ON u.id = c.account_id`, c.ID, c.AppID, c.AccountID))
	if unique(err) {
		return c, hoist.Invalid("User is already a collaborator on this app.")
	}
	return added, err
}

// RemoveCollaborator takes an account's right to work on an app away.
func (db *DB) RemoveCollaborator(ctx context.Context, appID, id hoist.ID) error {
	_, err := db.Pool.Exec(ctx, `DELETE FROM collaborators WHERE app_id = $1 AND id = $2`, appID, id)
	return err
}
