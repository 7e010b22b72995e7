package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

// BuildpackInstallations lists the buildpacks somebody chose for an app, in
// order.
func (db *DB) BuildpackInstallations(ctx context.Context, appID hoist.ID) ([]hoist.BuildpackInstallation, error) {
	scan := func(row pgx.Row) (b hoist.BuildpackInstallation, err error) {
		err = row.Scan(&b.Ordinal, &b.URL, &b.Name)
		return b, err
	}
	return rowsOf(ctx, db.Pool, scan,
		`SELECT ordinal, url, name FROM buildpack_installations WHERE app_id = $1 ORDER BY ordinal`, appID)
}

// SetBuildpackInstallations replaces an app's buildpacks.
func (db *DB) SetBuildpackInstallations(ctx context.Context, appID hoist.ID, list []hoist.BuildpackInstallation) error {
	return db.tx(ctx, func(tx pgx.Tx) error {
		if err := lockApp(ctx, tx, appID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM buildpack_installations WHERE app_id = $1`, appID); err != nil {
			return err
		}
		for _, b := range list {
			_, err := tx.Exec(ctx, `INSERT INTO buildpack_installations (app_id, ordinal, url, name) VALUES ($1, $2, $3, $4)`,
				appID, b.Ordinal, b.URL, b.Name)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
