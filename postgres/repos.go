package postgres

import (
	"context"
	"errors"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

// Repo returns an app's repository; an empty one if nothing was ever pushed.
func (db *DB) Repo(ctx context.Context, appID hoist.ID) (hoist.Repo, error) {
	r := hoist.Repo{AppID: appID, Head: "refs/heads/main", Refs: map[string]string{}}
	err := db.Pool.QueryRow(ctx, `SELECT generation, head, refs, packs FROM repos WHERE app_id = $1`, appID).
		Scan(&r.Generation, &r.Head, &r.Refs, &r.Packs)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return r, err
}

// PrepareRepo makes sure that an app's repository has a row, whose HEAD is
// head while it has no refs, and returns it.
func (db *DB) PrepareRepo(ctx context.Context, appID hoist.ID, head string) (hoist.Repo, error) {
	_, err := db.Pool.Exec(ctx, `
		INSERT INTO repos (app_id, head) VALUES ($1, $2)
		ON CONFLICT (app_id) DO UPDATE SET head = $2 WHERE repos.refs = '{}'`, appID, head)
	if err != nil {
		return hoist.Repo{}, err
	}
	return db.Repo(ctx, appID)
}

// MoveRefs applies a push that needs no release. It is an error of the user's
// kind if the repository is not the one the push was made against.
func (db *DB) MoveRefs(ctx context.Context, appID hoist.ID, push hoist.Push) error {
	return db.tx(ctx, func(tx pgx.Tx) error {
		if err := lockApp(ctx, tx, appID); err != nil { // before the repository, as ReleaseBuild does
			return err
		}
		return movePushed(ctx, tx, appID, push)
	})
}

// ReplacePacks puts one pack in place of all, or hoist.ErrConflict if the
// repository is no longer at generation.
func (db *DB) ReplacePacks(ctx context.Context, appID hoist.ID, generation int64, pack hoist.Pack) error {
	return db.tx(ctx, func(tx pgx.Tx) error {
		if err := lockApp(ctx, tx, appID); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			UPDATE repos SET packs = $3, generation = generation + 1, updated_at = now()
			WHERE app_id = $1 AND generation = $2`, appID, generation, []hoist.Pack{pack})
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return hoist.ErrConflict
		}
		_, err = tx.Exec(ctx, `UPDATE apps SET repo_size = $2 WHERE id = $1`, appID, pack.Size)
		return err
	})
}

// LivePacks returns the keys of all packs that repositories and pushes under
// way need.
func (db *DB) LivePacks(ctx context.Context) (map[string]bool, error) {
	// One statement, so that a push that is released meanwhile is seen before
	// or after, not missed.
	rows, err := db.Pool.Query(ctx, `
		SELECT p->>'key' FROM repos, jsonb_array_elements(packs) p
		UNION ALL
		SELECT push->'pack'->>'key' FROM builds WHERE finished_at IS NULL AND push->'pack'->>'key' IS NOT NULL`)
	if err != nil {
		return nil, err
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	live := make(map[string]bool, len(keys))
	for _, k := range keys {
		live[k] = true
	}
	return live, nil
}
