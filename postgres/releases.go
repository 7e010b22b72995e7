package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

const releaseColumns = `r.id, r.app_id, r.version, coalesce(r.slug_id::text, ''), r.config, r.description, r.status, r.reason,
	r.id = a.current_release_id, r.account_id, u.email, r.created_at, r.updated_at`

const releaseTables = ` releases r JOIN apps a ON a.id = r.app_id JOIN accounts u ON u.id = r.account_id `

func scanRelease(row pgx.Row) (r hoist.Release, err error) {
	err = row.Scan(&r.ID, &r.AppID, &r.Version, &r.SlugID, &r.Config, &r.Description, &r.Status, &r.Reason,
		&r.Current, &r.AccountID, &r.Email, &r.CreatedAt, &r.UpdatedAt)
	return r, err
}

// Releases lists an app's releases that are kept, oldest first.
func (db *DB) Releases(ctx context.Context, appID hoist.ID) ([]hoist.Release, error) {
	return rowsOf(ctx, db.Pool, scanRelease,
		`SELECT `+releaseColumns+` FROM`+releaseTables+`WHERE r.app_id = $1 ORDER BY r.version`, appID)
}

// Release returns a release of an app by ID or version ("46" or "v46").
func (db *DB) Release(ctx context.Context, appID hoist.ID, identity string) (hoist.Release, error) {
	return releaseOf(ctx, db.Pool, appID, identity)
}

func releaseOf(ctx context.Context, q querier, appID hoist.ID, identity string) (hoist.Release, error) {
	where, value := `r.id = $2`, any(identity)
	if !isID(identity) {
		version, err := strconv.ParseInt(strings.TrimPrefix(identity, "v"), 10, 32)
		if err != nil {
			return hoist.Release{}, hoist.NotFound("release")
		}
		where, value = `r.version = $2`, version
	}
	r, err := scanRelease(q.QueryRow(ctx,
		`SELECT `+releaseColumns+` FROM`+releaseTables+`WHERE r.app_id = $1 AND `+where, appID, value))
	return r, found(err, "release")
}

// ReleaseSlug makes a release of a slug of the app with the app's config, and
// the formation follow it.
func (db *DB) ReleaseSlug(ctx context.Context, r hoist.Release) (hoist.Release, error) {
	err := db.tx(ctx, func(tx pgx.Tx) error {
		if err := lockApp(ctx, tx, r.AppID); err != nil {
			return err
		}
		slug, err := slugOf(ctx, tx, r.AppID, r.SlugID)
		if err != nil {
			return err
		}
		r, err = deploy(ctx, tx, r, slug)
		return err
	})
	return r, err
}

// Rollback makes a release with the slug and the config of an earlier one.
func (db *DB) Rollback(ctx context.Context, appID, accountID hoist.ID, identity string) (r hoist.Release, err error) {
	err = db.tx(ctx, func(tx pgx.Tx) error {
		if err := lockApp(ctx, tx, appID); err != nil {
			return err
		}
		to, err := releaseOf(ctx, tx, appID, identity)
		if err == nil && to.Status == hoist.ReleaseFailed {
			err = hoist.Invalid("v%d failed; roll back to one that ran. `hoist releases` lists them.", to.Version)
		}
		if err != nil {
			return err
		}
		r, err = rollBack(ctx, tx, appID, accountID, identity)
		return err
	})
	return r, err
}

// rollBack is Rollback of an app that is locked.
func rollBack(ctx context.Context, tx pgx.Tx, appID, accountID hoist.ID, identity string) (r hoist.Release, err error) {
	to, err := releaseOf(ctx, tx, appID, identity)
	if err != nil {
		return r, err
	}
	version := strconv.Itoa(to.Version)
	if to.Current {
		return r, hoist.Invalid("v%s is the current release; there is nothing to roll back to.", version)
	}
	if to.SlugID == "" {
		return r, hoist.Invalid("v%s has no slug to roll back to: it was made before the first deploy.", version)
	}
	slug, err := slugOf(ctx, tx, appID, to.SlugID)
	if err != nil {
		return r, err
	}
	if _, err := tx.Exec(ctx, `UPDATE apps SET config = $2 WHERE id = $1`, appID, to.Config); err != nil {
		return r, err
	}
	return deploy(ctx, tx, hoist.Release{AppID: appID, AccountID: accountID, Description: "Rollback to v" + version}, slug)
}

// deploy makes a release of a slug and lets the formation follow it. The app
// is locked.
func deploy(ctx context.Context, tx pgx.Tx, r hoist.Release, slug hoist.Slug) (hoist.Release, error) {
	if !slug.Ready {
		return r, hoist.Invalid("Slug %s is not there yet: PUT it to the blob's URL first.", slug.ID)
	}
	var deployed bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM releases WHERE app_id = $1 AND slug_id IS NOT NULL)`, r.AppID).Scan(&deployed)
	if err != nil {
		return r, err
	}
	formation, err := formationOf(ctx, tx, r.AppID)
	if err != nil {
		return r, err
	}
	if err := writeFormation(ctx, tx, r.AppID, hoist.Deployed(formation, slug.ProcessTypes, !deployed)); err != nil {
		return r, err
	}
	_, err = tx.Exec(ctx, `UPDATE apps SET buildpack_provided = $2, slug_size = $3 WHERE id = $1`,
		r.AppID, slug.BuildpackProvided, slug.Size)
	if err != nil {
		return r, err
	}
	r.SlugID = slug.ID
	return release(ctx, tx, r)
}

// release inserts the app's next release with its present config and makes it
// the current one. One that the seed has to run is pending until the seed has
// seen it work; one that still was is not looked at any more. The app is locked.
func release(ctx context.Context, tx pgx.Tx, r hoist.Release) (hoist.Release, error) {
	id := hoist.NewID()
	_, err := tx.Exec(ctx, `
		INSERT INTO releases (id, app_id, version, slug_id, config, description, account_id, status)
		SELECT $1, a.id, coalesce((SELECT max(version) FROM releases WHERE app_id = a.id), 0) + 1, $3, a.config, $4, $5,
			CASE WHEN a.system AND $3::uuid IS NOT NULL
				AND EXISTS (SELECT FROM formation WHERE app_id = a.id AND quantity > 0) THEN 'pending' ELSE 'succeeded' END
		FROM apps a WHERE a.id = $2`,
		id, r.AppID, nullID(r.SlugID), r.Description, r.AccountID)
	if err != nil {
		return r, err
	}
	_, err = tx.Exec(ctx, `
		UPDATE apps SET current_release_id = $2, released_at = now(), updated_at = now() WHERE id = $1`, r.AppID, id)
	if err != nil {
		return r, err
	}
	made, err := releaseOf(ctx, tx, r.AppID, id)
	if err != nil {
		return r, err
	}
	_, err = tx.Exec(ctx, `UPDATE releases SET status = $3, reason = $4, updated_at = now() WHERE app_id = $1 AND status = $5 AND id <> $2`,
		r.AppID, id, hoist.ReleaseExpired, fmt.Sprintf("v%d took its place before it had proven itself.", made.Version), hoist.ReleasePending)
	return made, err
}

// Launch returns how the launch of a release goes: how many web dynos are
// wanted (-1 if it has no web process), the version of the app's current
// release, and the release's web dynos that shall run.
func (db *DB) Launch(ctx context.Context, releaseID hoist.ID) (web, current int, dynos []hoist.Dyno, err error) {
	err = db.Pool.QueryRow(ctx, `
		SELECT coalesce((SELECT quantity FROM formation f WHERE f.app_id = r.app_id AND f.type = 'web'), -1), now.version
		FROM releases r JOIN apps a ON a.id = r.app_id JOIN releases now ON now.id = a.current_release_id
		WHERE r.id = $1`, releaseID).Scan(&web, &current)
	if err != nil {
		return 0, 0, nil, found(err, "release")
	}
	dynos, err = rowsOf(ctx, db.Pool, scanShownDyno, `
		SELECT `+shownDyno+` FROM`+shownDynoTables+`
		WHERE d.app_id = r.app_id AND d.release_id = $1 AND d.type = 'web' AND d.kind = 'formation'
			AND d.want <> 'down' AND d.state <> 'down' ORDER BY d.number`, releaseID)
	return web, current, dynos, err
}

// Rollout returns how a release of the platform's own app comes along;
// ErrNotFound if it is another app's.
func (db *DB) Rollout(ctx context.Context, releaseID hoist.ID) (r hoist.Rollout, err error) {
	err = db.Pool.QueryRow(ctx, `
		SELECT r.status, r.reason, now.version, ARRAY(
			SELECT f.type FROM formation f WHERE f.app_id = a.id AND f.quantity > (
				SELECT count(*) FROM dynos d WHERE d.release_id = r.id AND d.type = f.type AND d.state = 'up') ORDER BY f.type)
		FROM releases r JOIN apps a ON a.id = r.app_id JOIN releases now ON now.id = a.current_release_id
		WHERE r.id = $1 AND a.system`, releaseID).Scan(&r.Status, &r.Reason, &r.Current, &r.Waiting)
	return r, found(err, "release")
}
