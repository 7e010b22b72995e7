package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// CollectReleases deletes all but the newest releases of each app. The current
// one, those with dynos and that of a build being released stay.
func (db *DB) CollectReleases(ctx context.Context, keep int) error {
	return db.tx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			CREATE TEMP TABLE doomed ON COMMIT DROP AS
			SELECT r.id FROM (
				SELECT id, app_id, row_number() OVER (PARTITION BY app_id ORDER BY version DESC) AS age FROM releases
			) r JOIN apps a ON a.id = r.app_id
			WHERE r.age > $1 AND a.current_release_id IS DISTINCT FROM r.id
				AND NOT EXISTS (SELECT FROM dynos d WHERE d.release_id = r.id)
				AND NOT EXISTS (SELECT FROM builds b WHERE b.release_id = r.id AND b.finished_at IS NULL)`, keep)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE builds SET release_id = NULL WHERE release_id IN (SELECT id FROM doomed)`); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM releases WHERE id IN (SELECT id FROM doomed)`)
		return err
	})
}

// CollectBuilds deletes all but the newest builds of each app; those that have
// not ended stay.
func (db *DB) CollectBuilds(ctx context.Context, keep int) error {
	_, err := db.Pool.Exec(ctx, `
		DELETE FROM builds WHERE finished_at IS NOT NULL AND id IN (
			SELECT id FROM (
				SELECT id, row_number() OVER (PARTITION BY app_id ORDER BY created_at DESC) AS age FROM builds
			) b WHERE b.age > $1)`, keep)
	return err
}

// OpenSources lists the uploaded source archives that open builds need.
func (db *DB) OpenSources(ctx context.Context) ([]string, error) {
	return db.texts(ctx, `SELECT source_key FROM builds WHERE finished_at IS NULL AND source_key <> ''`)
}
