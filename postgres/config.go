package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

// Config returns an app's config vars.
func (db *DB) Config(ctx context.Context, appID hoist.ID) (hoist.ConfigVars, error) {
	var vars hoist.ConfigVars
	err := db.Pool.QueryRow(ctx, `SELECT config FROM apps WHERE id = $1`, appID).Scan(&vars)
	return vars, found(err, "app")
}

// UpdateConfig lets change alter an app's config vars and makes a release with
// what it returns as the description; an empty one means nothing changed, and
// the release returned is nil.
func (db *DB) UpdateConfig(ctx context.Context, appID, accountID hoist.ID,
	change func(hoist.ConfigVars) (description string, err error)) (hoist.ConfigVars, *hoist.Release, error) {
	var vars hoist.ConfigVars
	var made *hoist.Release
	err := db.tx(ctx, func(tx pgx.Tx) error {
		if err := lockApp(ctx, tx, appID); err != nil {
			return err
		}
		// A statement of its own: one that waited for the lock would not see the
		// release that was made meanwhile, and lose its slug.
		var slugID hoist.ID
		err := tx.QueryRow(ctx, `
			SELECT a.config, coalesce((SELECT slug_id::text FROM releases WHERE id = a.current_release_id), '')
			FROM apps a WHERE a.id = $1`, appID).Scan(&vars, &slugID)
		if err != nil {
			return err
		}
		description, err := change(vars)
		if err != nil || description == "" {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE apps SET config = $2 WHERE id = $1`, appID, vars); err != nil {
			return err
		}
		r, err := release(ctx, tx, hoist.Release{
			AppID: appID, AccountID: accountID, SlugID: slugID, Description: description,
		})
		made = &r
		return err
	})
	return vars, made, err
}
