package postgres

import (
	"context"
	"time"

	"github.com/hoist-sh/hoist"
)

// UncompiledBuilds returns those of the given builds that are still to be compiled.
func (db *DB) UncompiledBuilds(ctx context.Context, ids []hoist.ID) ([]hoist.ID, error) {
	return db.texts(ctx, `SELECT id::text FROM builds WHERE state IN ('pending', 'building') AND id::text = ANY($1)`, ids)
}

// KnownSlugKeys returns those of the given blobs that belong to a slug.
func (db *DB) KnownSlugKeys(ctx context.Context, keys []string) ([]string, error) {
	return db.texts(ctx, `SELECT blob_key FROM slugs WHERE blob_key = ANY($1)`, keys)
}

// ExistingApps returns those of the given apps that exist.
func (db *DB) ExistingApps(ctx context.Context, ids []hoist.ID) ([]hoist.ID, error) {
	return db.texts(ctx, `SELECT id::text FROM apps WHERE id::text = ANY($1)`, ids)
}

func (db *DB) texts(ctx context.Context, sql string, args ...any) ([]string, error) {
	rows, err := db.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

// ForgetUnusedSlugs deletes slugs older than age that no release and no open
// build uses: of builds whose release failed or was never made.
func (db *DB) ForgetUnusedSlugs(ctx context.Context, age time.Duration) error {
	_, err := db.Pool.Exec(ctx, `
		UPDATE builds b SET slug_id = NULL
		WHERE finished_at IS NOT NULL AND state <> 'succeeded' AND slug_id IS NOT NULL
			AND NOT EXISTS (SELECT FROM releases r WHERE r.slug_id = b.slug_id)`)
	if err != nil {
		return err
	}
	_, err = db.Pool.Exec(ctx, `
		DELETE FROM slugs s WHERE created_at < now() - $1::interval
			AND NOT EXISTS (SELECT FROM releases r WHERE r.slug_id = s.id)
			AND NOT EXISTS (SELECT FROM builds b WHERE b.slug_id = s.id)`, age)
	return err
}
