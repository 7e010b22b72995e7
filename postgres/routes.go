package postgres

import (
	"context"
	"errors"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

// Routes returns the routes of the given apps, or of all if apps is nil. An app
// that is not there any more is not in the result.
func (db *DB) Routes(ctx context.Context, apps []hoist.ID) ([]hoist.Route, error) {
	rows, err := db.Pool.Query(ctx, `
		SELECT a.id::text, a.name, a.maintenance,
			ARRAY(SELECT hostname FROM domains WHERE app_id = a.id ORDER BY hostname),
			COALESCE((SELECT quantity FROM formation WHERE app_id = a.id AND type = 'web'), 0),
			COALESCE((SELECT jsonb_agg(jsonb_build_object(
					'id', id, 'number', number, 'state', state, 'address', address) ORDER BY number, created_at)
				FROM dynos WHERE app_id = a.id AND kind = $2 AND type = 'web'
					AND (state = 'up' OR state IN ('starting', 'crashed') AND want <> 'down')), '[]')
		FROM apps a WHERE $1::uuid[] IS NULL OR a.id = ANY ($1)`, apps, hoist.KindFormation)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r hoist.Route, err error) {
		err = row.Scan(&r.AppID, &r.Name, &r.Maintenance, &r.Domains, &r.Web, &r.Dynos)
		return r, err
	})
}

// Services returns where the platform's own hosts are served. Of each type those
// count that were seen as lately as the last one seen: while the database is
// away nobody can renew a row, and when it is back all of them are equally old.
// Those on probation serve nobody.
func (db *DB) Services(ctx context.Context) ([]hoist.Service, error) {
	rows, err := db.Pool.Query(ctx, `
		SELECT type, address FROM (
			SELECT *, max(seen_at) OVER (PARTITION BY type) AS latest FROM components
			WHERE address <> '' AND proven) c
		WHERE type = ANY ($1) AND seen_at > latest - $2::interval ORDER BY type, started_at, id`,
		[]string{hoist.ComponentAPI, hoist.ComponentGit, hoist.ComponentLogs, "blobs", "proof"}, Expiry)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[hoist.Service])
}

// AttachAddress returns the address of the worker that has an attached dyno,
// found by the SHA-256 of its secret. It is empty until the dyno has a worker;
// ErrNotFound if there is no such dyno or it has ended.
func (db *DB) AttachAddress(ctx context.Context, secretHash []byte) (appID hoist.ID, address string, err error) {
	err = db.Pool.QueryRow(ctx, `
		SELECT d.app_id::text, COALESCE(w.address, '') FROM dynos d LEFT JOIN workers w ON w.id = d.worker_id
		WHERE d.secret_hash = $1 AND d.attach AND d.state <> 'down'`, secretHash).Scan(&appID, &address)
	if errors.Is(err, pgx.ErrNoRows) {
		err = hoist.ErrNotFound
	}
	return appID, address, err
}
