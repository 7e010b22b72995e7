package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

const buildColumns = `b.id, b.app_id, b.account_id, coalesce((SELECT email FROM accounts WHERE id = b.account_id), ''),
	b.state, b.stack, b.buildpacks, b.source_key, b.source_url,
	b.source_checksum, b.source_version, b.source_description, b.push, coalesce(b.slug_id::text, ''),
	coalesce(b.release_id::text, ''), b.error, b.attempts, b.claimed_by,
	b.created_at, b.updated_at`

func scanBuild(row pgx.Row) (b hoist.Build, err error) {
	err = row.Scan(&b.ID, &b.AppID, &b.AccountID, &b.Email, &b.State, &b.Stack, &b.Buildpacks, &b.SourceKey, &b.SourceURL,
		&b.SourceChecksum, &b.SourceVersion, &b.SourceDescription, &b.Push, &b.SlugID,
		&b.ReleaseID, &b.Error, &b.Attempts, &b.ClaimedBy,
		&b.CreatedAt, &b.UpdatedAt)
	return b, err
}

// CreateBuild inserts a build that did not come by git, to be compiled.
func (db *DB) CreateBuild(ctx context.Context, b hoist.Build) (hoist.Build, error) {
	return scanBuild(db.Pool.QueryRow(ctx, `
		INSERT INTO builds AS b (id, app_id, account_id, stack, buildpacks, source_key, source_url,
			source_checksum, source_version, source_description)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING `+buildColumns,
		b.ID, b.AppID, b.AccountID, b.Stack, jsonList(b.Buildpacks), b.SourceKey, b.SourceURL,
		b.SourceChecksum, b.SourceVersion, b.SourceDescription))
}

// jsonList keeps an empty list from becoming a JSON null.
func jsonList[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Builds lists an app's builds that are kept, oldest first.
func (db *DB) Builds(ctx context.Context, appID hoist.ID) ([]hoist.Build, error) {
	return rowsOf(ctx, db.Pool, scanBuild,
		`SELECT `+buildColumns+` FROM builds b WHERE app_id = $1 ORDER BY created_at`, appID)
}

// Build returns a build of an app.
func (db *DB) Build(ctx context.Context, appID, id hoist.ID) (hoist.Build, error) {
	if !isID(id) {
		return hoist.Build{}, hoist.NotFound("build")
	}
	b, err := scanBuild(db.Pool.QueryRow(ctx,
		`SELECT `+buildColumns+` FROM builds b WHERE app_id = $1 AND id = $2`, appID, id))
	return b, found(err, "build")
}

// BuildOutput returns the state of a build and, when it has ended, what it
// said and why it failed. Of one that is compiled it returns what compile said.
func (db *DB) BuildOutput(ctx context.Context, id hoist.ID) (state hoist.BuildState, output, reason string, err error) {
	err = db.Pool.QueryRow(ctx, `SELECT state, output, error FROM builds WHERE id = $1`, id).Scan(&state, &output, &reason)
	return state, output, reason, found(err, "build")
}

// CancelBuild ends a build that has not made its release yet; one that has
// ended stays as it is.
func (db *DB) CancelBuild(ctx context.Context, appID, id hoist.ID) (hoist.Build, error) {
	if isID(id) {
		_, err := db.Pool.Exec(ctx, `
			UPDATE builds SET state = 'canceled', error = 'Canceled.', finished_at = now(), updated_at = now()
			WHERE app_id = $1 AND id = $2 AND state IN ('pending', 'building', 'built')`, appID, id)
		if err != nil {
			return hoist.Build{}, err
		}
	}
	return db.Build(ctx, appID, id)
}

// ClaimBuilt claims the oldest build that waits for its release, or whose claim
// has run out, for whoever knows the token; nil if there is none.
func (db *DB) ClaimBuilt(ctx context.Context, token string, lease time.Duration) (*hoist.Build, error) {
	b, err := scanBuild(db.Pool.QueryRow(ctx, `
		UPDATE builds b SET state = 'releasing', claimed_by = $1, lease_until = now() + $2::interval, updated_at = now()
		WHERE id = (
			SELECT id FROM builds
			WHERE finished_at IS NULL AND (state = 'built' OR state = 'releasing' AND lease_until < now())
			ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING `+buildColumns, token, lease))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &b, nil
}

// RenewRelease prolongs a claim; ErrConflict if another has it now.
func (db *DB) RenewRelease(ctx context.Context, id hoist.ID, token string, lease time.Duration) error {
	tag, err := db.Pool.Exec(ctx, `
		UPDATE builds SET lease_until = now() + $3::interval
		WHERE id = $1 AND claimed_by = $2 AND state = 'releasing'`, id, token, lease)
	if err == nil && tag.RowsAffected() == 0 {
		return hoist.ErrConflict
	}
	return err
}

// ReleaseBuild makes the release of a claimed build in one transaction: the
// release, the formation, the repository's refs and the build's row change
// together or not at all. Called again it returns the release made before.
// ErrConflict means that the claim is lost; other errors of the user's kind
// mean that the build cannot be released.
func (db *DB) ReleaseBuild(ctx context.Context, id hoist.ID, token, description string) (hoist.Release, error) {
	var r hoist.Release
	err := db.tx(ctx, func(tx pgx.Tx) error {
		// The app first, then what is the app's.
		var appID hoist.ID
		if err := tx.QueryRow(ctx, `SELECT app_id FROM builds WHERE id = $1`, id).Scan(&appID); err != nil {
			return found(err, "build")
		}
		if err := lockApp(ctx, tx, appID); err != nil {
			return err
		}
		b, err := scanBuild(tx.QueryRow(ctx, `SELECT `+buildColumns+` FROM builds b WHERE id = $1 FOR UPDATE`, id))
		if err != nil {
			return found(err, "build")
		}
		if b.State != hoist.BuildReleasing || b.ClaimedBy != token {
			return hoist.ErrConflict
		}
		if b.ReleaseID != "" {
			r, err = releaseOf(ctx, tx, appID, b.ReleaseID)
			return err
		}
		slug, err := slugOf(ctx, tx, appID, b.SlugID)
		if err != nil {
			return err
		}
		if b.Push != nil {
			if err := movePushed(ctx, tx, appID, *b.Push); err != nil {
				return err
			}
		}
		r, err = deploy(ctx, tx, hoist.Release{AppID: appID, AccountID: b.AccountID, Description: description}, slug)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE builds SET release_id = $2, updated_at = now() WHERE id = $1`, id, r.ID)
		return err
	})
	return r, err
}

// movePushed applies a push to the app's repository if it is still as the push
// found it.
func movePushed(ctx context.Context, tx pgx.Tx, appID hoist.ID, push hoist.Push) error {
	changed := &hoist.Error{
		ID: "repository_changed", Status: 409,
		Message: "The repository changed while this was being built. Fetch, look at what is new, and push again.",
	}
	if _, err := tx.Exec(ctx, `INSERT INTO repos (app_id) VALUES ($1) ON CONFLICT DO NOTHING`, appID); err != nil {
		return err
	}
	var generation int64
	var refs map[string]string
	var packs []hoist.Pack
	err := tx.QueryRow(ctx, `SELECT generation, refs, packs FROM repos WHERE app_id = $1 FOR UPDATE`, appID).
		Scan(&generation, &refs, &packs)
	if err != nil {
		return err
	}
	if generation != push.Generation {
		return changed
	}
	if refs == nil {
		refs = map[string]string{}
	}
	for _, ref := range push.Refs {
		if old := refs[ref.Name]; old != ref.Old && !(old == "" && zeroObject(ref.Old)) {
			return changed
		}
		if zeroObject(ref.New) {
			delete(refs, ref.Name)
		} else {
			refs[ref.Name] = ref.New
		}
	}
	if push.Pack != nil {
		packs = append(packs, *push.Pack)
	}
	var size int64
	for _, p := range packs {
		size += p.Size
	}
	_, err = tx.Exec(ctx, `
		UPDATE repos SET generation = generation + 1, refs = $2, packs = $3, updated_at = now() WHERE app_id = $1`,
		appID, refs, jsonList(packs))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE apps SET repo_size = $2 WHERE id = $1`, appID, size)
	return err
}

// zeroObject reports whether name is the object name that means "none".
func zeroObject(name string) bool {
	for _, c := range name {
		if c != '0' {
			return false
		}
	}
	return true
}

// FinishBuild ends a claimed build with its output; ErrConflict if the claim
// is lost. One whose release was made does not fail any more: that is
// ErrConflict, too, and the next claim goes on with it.
func (db *DB) FinishBuild(ctx context.Context, id hoist.ID, token string, state hoist.BuildState, reason, output string) error {
	tag, err := db.Pool.Exec(ctx, `
		UPDATE builds SET state = $3, error = $4, output = $5, finished_at = now(), updated_at = now()
		WHERE id = $1 AND claimed_by = $2 AND state = 'releasing' AND (release_id IS NULL OR $3 <> 'failed')`, id, token, state, reason, output)
	if err == nil && tag.RowsAffected() == 0 {
		return hoist.ErrConflict
	}
	return err
}
