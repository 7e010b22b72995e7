package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
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

// CollectSlugs deletes slugs that neither a release nor an open build has, all
// but the newest of each app and those of the last day, whose images may still
// be on their way.
func (db *DB) CollectSlugs(ctx context.Context, keep int) error {
	return db.tx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			CREATE TEMP TABLE doomed ON COMMIT DROP AS
			SELECT s.id FROM (
				SELECT id, created_at, row_number() OVER (PARTITION BY app_id ORDER BY created_at DESC) AS age FROM slugs
			) s
			WHERE s.age > $1 AND s.created_at < now() - interval '1 day'
				AND NOT EXISTS (SELECT FROM releases r WHERE r.slug_id = s.id)
				AND NOT EXISTS (SELECT FROM builds b WHERE b.slug_id = s.id AND b.finished_at IS NULL)`, keep)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE builds SET slug_id = NULL WHERE slug_id IN (SELECT id FROM doomed)`); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM slugs WHERE id IN (SELECT id FROM doomed)`)
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

// AppIDs lists all apps.
func (db *DB) AppIDs(ctx context.Context) ([]hoist.ID, error) {
	return rowsOf(ctx, db.Pool, scanText, `SELECT id::text FROM apps`)
}

// SlugKeys lists the keys of all slugs' images.
func (db *DB) SlugKeys(ctx context.Context) ([]string, error) {
	return rowsOf(ctx, db.Pool, scanText, `SELECT blob_key FROM slugs`)
}

func scanText(row pgx.Row) (s string, err error) {
	err = row.Scan(&s)
	return s, err
}

// OpenBuilds lists the builds of all apps that have not ended.
func (db *DB) OpenBuilds(ctx context.Context) ([]hoist.Build, error) {
	return rowsOf(ctx, db.Pool, scanBuild, `SELECT `+buildColumns+` FROM builds b WHERE finished_at IS NULL`)
}
