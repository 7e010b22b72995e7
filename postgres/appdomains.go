package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

const domainColumns = `id, app_id, hostname, created_at, updated_at`

func scanDomain(row pgx.Row) (d hoist.Domain, err error) {
	err = row.Scan(&d.ID, &d.AppID, &d.Hostname, &d.CreatedAt, &d.UpdatedAt)
	return d, err
}

// AppDomains lists the further host names of an app.
func (db *DB) AppDomains(ctx context.Context, appID hoist.ID) ([]hoist.Domain, error) {
	return rowsOf(ctx, db.Pool, scanDomain,
		`SELECT `+domainColumns+` FROM domains WHERE app_id = $1 ORDER BY hostname`, appID)
}

// AddDomain gives an app a further host name; each belongs to one app only.
func (db *DB) AddDomain(ctx context.Context, d hoist.Domain) (hoist.Domain, error) {
	added, err := scanDomain(db.Pool.QueryRow(ctx, `
		INSERT INTO domains (id, app_id, hostname) VALUES ($1, $2, $3) RETURNING `+domainColumns, d.ID, d.AppID, d.Hostname))
	if unique(err) {
		return d, hoist.Invalid("%s is currently in use by another app.", d.Hostname)
	}
	return added, err
}

// RemoveDomain takes a host name from an app.
func (db *DB) RemoveDomain(ctx context.Context, appID, id hoist.ID) error {
	_, err := db.Pool.Exec(ctx, `DELETE FROM domains WHERE app_id = $1 AND id = $2`, appID, id)
	return err
}
