package postgres

import (
	"context"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

const selectDynos = `
	SELECT d.id, d.app_id, a.name, coalesce(d.release_id::text, ''), coalesce(r.version, 0), d.kind, d.type, d.number,
	       d.size, d.command, d.env, d.want, d.state, d.attach, d.tty, d.secret_hash, d.timeout_s,
	       coalesce(d.worker_id::text, ''), d.address, d.restarts, d.restart_at, d.exit_code, d.reason,
	       d.created_at, d.updated_at, d.state_at, d.up_at
	FROM dynos d JOIN apps a ON a.id = d.app_id LEFT JOIN releases r ON r.id = d.release_id `

// queryDynos reads dynos; where follows selectDynos.
func queryDynos(ctx context.Context, q querier, where string, args ...any) ([]hoist.Dyno, error) {
	rows, err := q.Query(ctx, selectDynos+where, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (d hoist.Dyno, err error) {
		var timeout int
		err = row.Scan(&d.ID, &d.AppID, &d.AppName, &d.ReleaseID, &d.Version, &d.Kind, &d.Type, &d.Number,
			&d.Size, &d.Command, &d.Env, &d.Want, &d.State, &d.Attach, &d.TTY, &d.SecretHash, &timeout,
			&d.WorkerID, &d.Address, &d.Restarts, &d.RestartAt, &d.ExitCode, &d.Reason,
			&d.CreatedAt, &d.UpdatedAt, &d.StateAt, &d.UpAt)
		d.Timeout = time.Duration(timeout) * time.Second
		return d, err
	})
}

// UnsettledApps lists the apps whose formation and dynos may differ. The
// platform's own app is the seed's and never among them.
func (db *DB) UnsettledApps(ctx context.Context) ([]hoist.ID, error) {
	rows, err := db.Pool.Query(ctx, `
		SELECT a.id FROM apps a
		CROSS JOIN LATERAL (
			SELECT coalesce(sum(quantity), 0) AS wanted FROM formation
			WHERE app_id = a.id AND a.current_release_id IS NOT NULL) f
		CROSS JOIN LATERAL (
			SELECT count(*) AS live, count(*) FILTER (
				WHERE d.want = 'up' AND d.state = 'up' AND d.release_id = a.current_release_id
				AND p.size = d.size AND p.command = d.command AND d.number <= p.quantity) AS settled
			FROM dynos d LEFT JOIN formation p ON p.app_id = d.app_id AND p.type = d.type
			WHERE d.app_id = a.id AND d.kind = 'formation' AND d.state <> 'down') d
		WHERE NOT a.system AND (d.live <> d.settled OR d.settled <> f.wanted)`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[hoist.ID])
}

// reconcileLock is the key of the advisory lock of who reconciles app $1.
const reconcileLock = `hashtextextended($1::text, 0)`

// Reconcile gives plan an app with its formation and its formation's live
// dynos, and writes the dynos that plan returns: those with a new ID are
// inserted, of others only Want and Reason are written. A dyno on no worker
// that shall go down is down. What was written is returned. While somebody
// else reconciles the app nothing is done.
func (db *DB) Reconcile(ctx context.Context, appID hoist.ID, plan func(hoist.App, []hoist.ProcessType, []hoist.Dyno, []hoist.Worker, time.Time) []hoist.Dyno) ([]hoist.Dyno, error) {
	var changed []hoist.Dyno
	err := db.tx(ctx, func(tx pgx.Tx) error {
		app := hoist.App{ID: appID}
		var mine bool
		var now time.Time
		err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(`+reconcileLock+`), now()`, appID).Scan(&mine, &now)
		if err != nil || !mine {
			return err
		}
		// One statement: a release and its formation are made together. The lock comes
		// first, in one of its own, or it would not see what the holder before wrote.
		var formation []hoist.ProcessType
		err = tx.QueryRow(ctx, `
			SELECT name, coalesce(current_release_id::text, ''), coalesce((
				SELECT jsonb_agg(jsonb_build_object('ID', id, 'AppID', app_id, 'Type', type, 'Command', command,
					'Quantity', quantity, 'Size', size) ORDER BY type)
				FROM formation WHERE app_id = a.id), '[]')
			FROM apps a WHERE a.id = $1 AND NOT system`, appID).Scan(&app.Name, &app.CurrentReleaseID, &formation)
		if err == pgx.ErrNoRows {
			return nil
		}
		if err != nil {
			return err
		}
		dynos, err := queryDynos(ctx, tx, `WHERE d.app_id = $1 AND d.kind = 'formation' AND d.state <> 'down' ORDER BY d.type, d.number, d.created_at`, appID)
		if err != nil {
			return err
		}
		workers, err := queryWorkers(ctx, tx)
		if err != nil {
			return err
		}
		changed = plan(app, formation, dynos, workers, now)
		for _, d := range changed {
			_, err := tx.Exec(ctx, `
				INSERT INTO dynos AS d (id, app_id, release_id, kind, type, number, size, command, want)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
				ON CONFLICT (id) DO UPDATE SET
					want = CASE d.want WHEN 'down' THEN 'down' ELSE $9 END,
					reason = $10, updated_at = now(),
					state = CASE WHEN d.worker_id IS NULL AND $9 = 'down' THEN 'down' ELSE d.state END,
					state_at = CASE WHEN d.worker_id IS NULL AND $9 = 'down' THEN now() ELSE d.state_at END`,
				d.ID, d.AppID, d.ReleaseID, d.Kind, d.Type, d.Number, d.Size, d.Command, d.Want, d.Reason)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return changed, err
}

// WaitingDynos lists dynos that may be started by any worker, oldest first, and says what time it is by the
// clock that their times are of.
func (db *DB) WaitingDynos(ctx context.Context) (waiting []hoist.Dyno, now time.Time, err error) {
	waiting, err = queryDynos(ctx, db.Pool, `
		WHERE d.worker_id IS NULL AND d.state <> 'down' AND d.want <> 'down' AND coalesce(d.restart_at <= now(), true)
		AND NOT (a.system AND d.kind = 'formation')
		ORDER BY d.created_at LIMIT 200`)
	if err == nil && len(waiting) > 0 {
		err = db.Pool.QueryRow(ctx, `SELECT now()`).Scan(&now)
	}
	return waiting, now, err
}

// PlacedDynos lists all dynos on workers, with only what placement needs: app,
// release, type, size and worker.
func (db *DB) PlacedDynos(ctx context.Context) ([]hoist.Dyno, error) {
	rows, err := db.Pool.Query(ctx, `
		SELECT app_id, coalesce(release_id::text, ''), kind, type, size, worker_id FROM dynos
		WHERE worker_id IS NOT NULL AND state <> 'down'`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (d hoist.Dyno, err error) {
		return d, row.Scan(&d.AppID, &d.ReleaseID, &d.Kind, &d.Type, &d.Size, &d.WorkerID)
	})
}

// ClaimDynos gives those of the dynos that no other worker took to this one, unless that is to
// be drained: who set that relies on what the worker has then being all.
func (db *DB) ClaimDynos(ctx context.Context, worker hoist.ID, ids []hoist.ID) error {
	_, err := db.Pool.Exec(ctx, `
		UPDATE dynos SET worker_id = $1, updated_at = now()
		WHERE id = ANY($2::uuid[]) AND worker_id IS NULL AND want <> 'down' AND state <> 'down'
		AND EXISTS (SELECT FROM workers WHERE id = $1 AND NOT draining FOR SHARE)`, worker, ids)
	return err
}

// WorkerDynos lists a worker's dynos that are not down.
func (db *DB) WorkerDynos(ctx context.Context, worker hoist.ID) ([]hoist.Dyno, error) {
	return queryDynos(ctx, db.Pool, `WHERE d.worker_id = $1 AND d.state <> 'down' ORDER BY d.created_at`, worker)
}

// UpdateDyno writes what a worker knows of a dyno of its own: state, address,
// restarts, exit code and reason. hoist.ErrNotFound: it is not the worker's
// any more.
func (db *DB) UpdateDyno(ctx context.Context, worker hoist.ID, d hoist.Dyno) error {
	tag, err := db.Pool.Exec(ctx, `
		UPDATE dynos SET state = $3, address = $4, restarts = $5, restart_at = $6, exit_code = $7, reason = $8,
			updated_at = now(),
			state_at = CASE WHEN state = $3 THEN state_at ELSE now() END,
			up_at = CASE WHEN $3 = 'up' THEN coalesce(up_at, now()) ELSE up_at END
		WHERE id = $1 AND worker_id = $2 AND state <> 'down'`,
		d.ID, worker, d.State, d.Address, d.Restarts, d.RestartAt, d.ExitCode, d.Reason)
	if err == nil && tag.RowsAffected() == 0 {
		return hoist.ErrNotFound
	}
	return err
}

// MoveDynos asks for a replacement of each formation dyno of a worker and
// returns the apps it is about.
func (db *DB) MoveDynos(ctx context.Context, worker hoist.ID) ([]hoist.ID, error) {
	rows, err := db.Pool.Query(ctx, `
		WITH moved AS (
			UPDATE dynos SET want = 'restart', updated_at = now()
			WHERE worker_id = $1 AND kind = 'formation' AND want = 'up' AND state <> 'down' RETURNING app_id)
		SELECT DISTINCT app_id FROM moved`, worker)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[hoist.ID])
}

// AbandonedDynos ends the dynos that no worker took and nobody wants any more:
// stopped ones, and attached one-offs whose client has waited for longer than
// patience. It returns them.
func (db *DB) AbandonedDynos(ctx context.Context, patience time.Duration) ([]hoist.Dyno, error) {
	rows, err := db.Pool.Query(ctx, `
		UPDATE dynos SET state = 'down', state_at = now(), updated_at = now(),
			reason = CASE WHEN want = 'down' THEN reason ELSE 'no worker had room for it' END
		WHERE worker_id IS NULL AND state <> 'down'
		AND NOT (kind = 'formation' AND app_id IN (SELECT id FROM apps WHERE system))
		AND (want = 'down' OR kind = 'run' AND attach AND created_at < now() - $1::interval)
		RETURNING id`, patience)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[hoist.ID])
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return queryDynos(ctx, db.Pool, `WHERE d.id = ANY($1::uuid[])`, ids)
}

// CollectDynos deletes the rows of formation dynos that have been down for
// longer than formation, and of one-offs for longer than oneOff.
func (db *DB) CollectDynos(ctx context.Context, formation, oneOff time.Duration) error {
	_, err := db.Pool.Exec(ctx, `
		DELETE FROM dynos WHERE state = 'down'
		AND state_at < now() - CASE kind WHEN 'formation' THEN $1::interval ELSE $2::interval END`, formation, oneOff)
	return err
}

// SlugOfRelease returns a release's config and its slug; the slug's ID is empty
// before the first deploy.
func (db *DB) SlugOfRelease(ctx context.Context, releaseID hoist.ID) (hoist.ConfigVars, hoist.Slug, error) {
	var config hoist.ConfigVars
	var s hoist.Slug
	err := db.Pool.QueryRow(ctx, `
		SELECT r.config, coalesce(s.id::text, ''), coalesce(s.blob_key, ''), coalesce(s.sha256, ''), coalesce(s.size, 0), coalesce(s.commit, '')
		FROM releases r LEFT JOIN slugs s ON s.id = r.slug_id WHERE r.id = $1`, releaseID).
		Scan(&config, &s.ID, &s.Key, &s.SHA256, &s.Size, &s.Commit)
	return config, s, found(err, "release")
}
