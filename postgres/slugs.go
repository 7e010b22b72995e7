package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

const slugColumns = `id, app_id, blob_key, sha256, size, process_types, buildpack_provided, commit,
	commit_description, stack, ready, created_at, updated_at`

func scanSlug(row pgx.Row) (s hoist.Slug, err error) {
	err = row.Scan(&s.ID, &s.AppID, &s.Key, &s.SHA256, &s.Size, &s.ProcessTypes, &s.BuildpackProvided, &s.Commit,
		&s.CommitDescription, &s.Stack, &s.Ready, &s.CreatedAt, &s.UpdatedAt)
	return s, err
}

// CreateSlug inserts a slug whose image is still to come.
func (db *DB) CreateSlug(ctx context.Context, s hoist.Slug) (hoist.Slug, error) {
	return scanSlug(db.Pool.QueryRow(ctx, `
		INSERT INTO slugs (id, app_id, blob_key, sha256, process_types, buildpack_provided, commit, commit_description, stack)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING `+slugColumns,
		s.ID, s.AppID, s.Key, s.SHA256, s.ProcessTypes, s.BuildpackProvided, s.Commit, s.CommitDescription, s.Stack))
}

// Slug returns a slug of an app.
func (db *DB) Slug(ctx context.Context, appID, id hoist.ID) (hoist.Slug, error) {
	return slugOf(ctx, db.Pool, appID, id)
}

func slugOf(ctx context.Context, q querier, appID, id hoist.ID) (hoist.Slug, error) {
	if !isID(id) {
		return hoist.Slug{}, hoist.NotFound("slug")
	}
	s, err := scanSlug(q.QueryRow(ctx, `SELECT `+slugColumns+` FROM slugs WHERE app_id = $1 AND id = $2`, appID, id))
	return s, found(err, "slug")
}

// SlugStored notes under which key a slug's image is in the blob store, with
// its size in bytes and its checksum; hoist.ErrConflict if the slug has an image.
func (db *DB) SlugStored(ctx context.Context, id hoist.ID, key string, size int64, sha256 string) error {
	return changed(db.Pool.Exec(ctx, `
		UPDATE slugs SET ready = true, blob_key = $2, size = $3, sha256 = $4, updated_at = now()
		WHERE id = $1 AND NOT ready`, id, key, size, sha256))
}
