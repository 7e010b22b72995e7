package postgres

import (
	"context"
	"errors"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

// SystemRelease is what the seed must know to run the platform's own app.
type SystemRelease struct {
	AppID     hoist.ID
	ReleaseID hoist.ID
	Version   int
	Config    hoist.ConfigVars
	Slug      hoist.Slug
	Formation []hoist.ProcessType
}

// SystemRelease returns the current release of the platform's own app;
// hoist.ErrNotFound if there is no such app, or none with a slug.
func (db *DB) SystemRelease(ctx context.Context) (r SystemRelease, err error) {
	err = pgx.BeginTxFunc(ctx, db.Pool, oneMoment, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			SELECT a.id, r.id, r.version, r.config, s.id, s.blob_key, s.sha256, s.size, s.commit
			FROM apps a JOIN releases r ON r.id = a.current_release_id JOIN slugs s ON s.id = r.slug_id
			WHERE a.system AND a.name = $1`, hoist.SystemApp).
			Scan(&r.AppID, &r.ReleaseID, &r.Version, &r.Config, &r.Slug.ID, &r.Slug.Key, &r.Slug.SHA256, &r.Slug.Size, &r.Slug.Commit)
		if err != nil {
			return found(err, "release")
		}
		r.Formation, err = formationOf(ctx, tx, r.AppID)
		return err
	})
	return r, err
}

// MakeSystemApp makes the platform's own app for the account with an e-mail
// address, unless it is there. It is for the database's owner: nothing else marks an app as
// system. (The role of api could, as it owns the tables; docs/architecture.md says why that is no gain.)
func (db *DB) MakeSystemApp(ctx context.Context, email, stack, region string) (made bool, err error) {
	account, err := db.Account(ctx, email)
	if err != nil {
		return false, err
	}
	var there bool
	var owner string
	err = db.Pool.QueryRow(ctx, `SELECT a.system, o.email FROM apps a JOIN accounts o ON o.id = a.owner_id WHERE a.name = $1`,
		hoist.SystemApp).Scan(&there, &owner)
	switch {
	case err == nil && there:
		return false, nil
	case err == nil:
		return false, hoist.Invalid("There is an app %s that is not the platform's. Its owner, %s, has to rename it first: hoist rename NEW_NAME -a %s",
			hoist.SystemApp, owner, hoist.SystemApp)
	case !errors.Is(err, pgx.ErrNoRows):
		return false, err
	}
	_, err = db.CreateApp(ctx, hoist.App{ID: hoist.NewID(), Name: hoist.SystemApp, OwnerID: account.ID, Stack: stack, Region: region, System: true})
	return err == nil, err
}

// SystemDynos lists the dynos of the system app's formation that are not down.
func (db *DB) SystemDynos(ctx context.Context, appID hoist.ID) ([]hoist.Dyno, error) {
	return queryDynos(ctx, db.Pool, `WHERE d.app_id = $1 AND d.kind = 'formation' AND d.state <> 'down'`, appID)
}

// SystemDyno is a dyno of the system app; Written is the want that the seed
// wrote last. Another one in its row is somebody else's.
type SystemDyno struct {
	hoist.Dyno
	Written hoist.DynoWant
}

// SaveSystemDynos makes the rows of the system app's formation equal to what
// the seed runs. A want that somebody else wrote stays, for the seed to read.
func (db *DB) SaveSystemDynos(ctx context.Context, appID hoist.ID, dynos []SystemDyno) error {
	return db.tx(ctx, func(tx pgx.Tx) error {
		ids := make([]string, 0, len(dynos))
		for _, d := range dynos {
			ids = append(ids, d.ID)
		}
		_, err := tx.Exec(ctx, `
			UPDATE dynos SET state = 'down', want = 'down', state_at = now(), updated_at = now()
			WHERE app_id = $1 AND kind = 'formation' AND state <> 'down' AND NOT id = ANY($2::uuid[])`, appID, ids)
		if err != nil {
			return err
		}
		for _, up := range []bool{false, true} { // what goes makes room for what comes
			for _, d := range dynos {
				if (d.Want == hoist.WantUp) != up {
					continue
				}
				_, err := tx.Exec(ctx, `
					INSERT INTO dynos AS d (id, app_id, release_id, kind, type, number, size, command, want, state, restarts, reason, up_at)
					VALUES ($1, $2, $3, 'formation', $4, $5, $6, $7, $8, $9, $10, $11, CASE WHEN $9 = 'up' THEN now() END)
					ON CONFLICT (id) DO UPDATE SET state = $9, restarts = $10, reason = $11, updated_at = now(),
						want = CASE WHEN d.want = $12 THEN $8 ELSE d.want END,
						state_at = CASE WHEN d.state = $9 THEN d.state_at ELSE now() END,
						up_at = CASE WHEN $9 = 'up' THEN coalesce(d.up_at, now()) ELSE d.up_at END`,
					d.ID, appID, d.ReleaseID, d.Type, d.Number, d.Size, d.Command, string(d.Want), string(d.State), d.Restarts, d.Reason, string(d.Written))
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// DrainWorker asks a worker to move its dynos to others, and returns how many
// it still has.
func (db *DB) DrainWorker(ctx context.Context, id hoist.ID) (dynos int, err error) {
	if _, err := db.Pool.Exec(ctx, `UPDATE workers SET draining = true WHERE id = $1 AND NOT draining`, id); err != nil {
		return 0, err
	}
	err = db.Pool.QueryRow(ctx, `SELECT count(*) FROM dynos WHERE worker_id = $1 AND state <> 'down'`, id).Scan(&dynos)
	return dynos, err
}

// SetReleaseStatus writes whether a release of the system app has proven
// itself, and for people why not.
func (db *DB) SetReleaseStatus(ctx context.Context, release hoist.ID, status, reason string) error {
	_, err := db.Pool.Exec(ctx, `UPDATE releases SET status = $2, reason = $3, updated_at = now() WHERE id = $1 AND (status, reason) <> ($2, $3)`,
		release, status, reason)
	return err
}

// RollbackSystem notes that a release of the system app failed, and makes one
// with the slug and config of a good one if the failed one is still the current
// release; rollback is that one's ID, else empty.
func (db *DB) RollbackSystem(ctx context.Context, failed, good hoist.ID, reason string) (rollback hoist.ID, err error) {
	err = db.tx(ctx, func(tx pgx.Tx) error {
		var app, account hoist.ID // the app is locked first, as by all
		err := tx.QueryRow(ctx, `SELECT app_id, account_id FROM releases WHERE id = $1`, failed).Scan(&app, &account)
		if err != nil {
			return found(err, "release")
		}
		if err := lockApp(ctx, tx, app); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE releases SET status = $2, reason = $3, updated_at = now() WHERE id = $1`, failed, hoist.ReleaseFailed, reason)
		if err != nil {
			return err
		}
		current, err := releaseOf(ctx, tx, app, failed)
		if err != nil || !current.Current {
			return err
		}
		r, err := rollBack(ctx, tx, app, account, good)
		rollback = r.ID
		return err
	})
	return rollback, err
}

// LoseWorker says of a worker that it is gone, for those who look for lost ones.
func (db *DB) LoseWorker(ctx context.Context, id hoist.ID) error {
	_, err := db.Pool.Exec(ctx, `UPDATE workers SET seen_at = to_timestamp(0) WHERE id = $1`, id)
	return err
}
