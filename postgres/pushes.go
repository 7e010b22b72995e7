package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

// AccountByFingerprint returns the account that an SSH key belongs to;
// hoist.ErrNotFound if nobody has it.
func (db *DB) AccountByFingerprint(ctx context.Context, fingerprint string) (hoist.Account, error) {
	var a hoist.Account
	err := db.Pool.QueryRow(ctx, `
		SELECT a.id, a.email, a.name FROM keys k JOIN accounts a ON a.id = k.account_id
		WHERE k.fingerprint = $1`, fingerprint).Scan(&a.ID, &a.Email, &a.Name)
	return a, found(err, "key")
}

// AccountByTokenHash returns the account and the scope of an API token that
// has not expired; hoist.ErrNotFound if there is none.
func (db *DB) AccountByTokenHash(ctx context.Context, hash []byte) (a hoist.Account, scope []string, err error) {
	err = db.Pool.QueryRow(ctx, `
		SELECT a.id, a.email, a.name, t.scope FROM authorizations t JOIN accounts a ON a.id = t.account_id
		WHERE t.token_hash = $1 AND (t.expires_at IS NULL OR t.expires_at > now())`, hash).
		Scan(&a.ID, &a.Email, &a.Name, &scope)
	return a, scope, found(err, "authorization")
}

// AppOf returns the app called name if the account may work on it, as owner or
// collaborator; hoist.ErrNotFound in every other case, with the same effort.
func (db *DB) AppOf(ctx context.Context, accountID hoist.ID, name string) (hoist.App, error) {
	a := hoist.App{Name: name}
	err := db.Pool.QueryRow(ctx, `
		SELECT id, owner_id, stack FROM apps a WHERE name = $1 AND (owner_id = $2 OR EXISTS (
			SELECT FROM collaborators c WHERE c.app_id = a.id AND c.account_id = $2))`, name, accountID).
		Scan(&a.ID, &a.OwnerID, &a.Stack)
	return a, found(err, "app")
}

// InsertPushedBuild inserts a pending build; stack and buildpacks are the
// app's.
func (db *DB) InsertPushedBuild(ctx context.Context, b hoist.Build) error {
	return db.tx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT ordinal, url, name FROM buildpack_installations WHERE app_id = $1 ORDER BY ordinal`, b.AppID)
		if err != nil {
			return err
		}
		packs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[hoist.BuildpackInstallation])
		if err != nil {
			return err
		}
		if packs == nil {
			packs = []hoist.BuildpackInstallation{}
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO builds (id, app_id, account_id, stack, buildpacks, source_key, source_checksum,
				source_version, source_description, push)
			SELECT $1, id, $3, stack, $4, $5, $6, $7, $8, $9 FROM apps WHERE id = $2`,
			b.ID, b.AppID, b.AccountID, packs, b.SourceKey, b.SourceChecksum,
			b.SourceVersion, b.SourceDescription, b.Push)
		if err == nil && tag.RowsAffected() == 0 {
			return hoist.NotFound("app")
		}
		return err
	})
}

// PushedBuild returns how far a build is: state, error and release and whether
// that failed, with the output kept in its row.
func (db *DB) PushedBuild(ctx context.Context, id hoist.ID) (b hoist.Build, output string, err error) {
	var release *hoist.ID
	err = db.Pool.QueryRow(ctx, `
		SELECT b.state, b.error, b.release_id, coalesce(r.status = 'failed', false), b.output
		FROM builds b LEFT JOIN releases r ON r.id = b.release_id WHERE b.id = $1`, id).
		Scan(&b.State, &b.Error, &release, &b.ReleaseFailed, &output)
	if release != nil {
		b.ReleaseID = *release
	}
	b.ID = id
	return b, output, found(err, "build")
}

// CancelPushedBuild ends a build whose push went away, if it is not being
// released yet.
func (db *DB) CancelPushedBuild(ctx context.Context, id hoist.ID, why string) error {
	_, err := db.Pool.Exec(ctx, `
		UPDATE builds SET state = 'canceled', error = $2, finished_at = now(), updated_at = now()
		WHERE id = $1 AND state IN ('pending', 'building', 'built')`, id, why)
	return err
}

// OpenPushedBuilds returns the app's builds that came by a push and have not
// ended.
func (db *DB) OpenPushedBuilds(ctx context.Context, appID hoist.ID) ([]hoist.ID, error) {
	rows, err := db.Pool.Query(ctx, `
		SELECT id FROM builds WHERE app_id = $1 AND finished_at IS NULL AND push IS NOT NULL
		ORDER BY created_at`, appID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[hoist.ID])
}
