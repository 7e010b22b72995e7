package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

const appColumns = `a.id, a.name, a.owner_id, o.email, a.stack, a.region, a.maintenance, a.system,
	a.buildpack_provided, a.repo_size, a.slug_size, coalesce(a.current_release_id::text, ''),
	a.released_at, a.created_at, a.updated_at`

const appTables = ` apps a JOIN accounts o ON o.id = a.owner_id `

// maySee is the condition that account $1 may work on app a.
const maySee = `(a.owner_id = $1 OR EXISTS (SELECT FROM collaborators c WHERE c.app_id = a.id AND c.account_id = $1))`

func scanApp(row pgx.Row) (a hoist.App, err error) {
	err = row.Scan(&a.ID, &a.Name, &a.OwnerID, &a.OwnerEmail, &a.Stack, &a.Region, &a.Maintenance, &a.System,
		&a.BuildpackProvided, &a.RepoSize, &a.SlugSize, &a.CurrentReleaseID,
		&a.ReleasedAt, &a.CreatedAt, &a.UpdatedAt)
	return a, err
}

// CreateApp inserts an app with its first release, which has no slug.
func (db *DB) CreateApp(ctx context.Context, a hoist.App) (hoist.App, error) {
	err := db.tx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO apps (id, name, owner_id, stack, region, system) VALUES ($1, $2, $3, $4, $5, $6)`,
			a.ID, a.Name, a.OwnerID, a.Stack, a.Region, a.System)
		if err != nil {
			return err
		}
		_, err = release(ctx, tx, hoist.Release{AppID: a.ID, AccountID: a.OwnerID, Description: "Initial release"})
		if err != nil {
			return err
		}
		a, err = appByID(ctx, tx, a.ID)
		return err
	})
	return a, nameTaken(err, a.Name)
}

func nameTaken(err error, name string) error {
	if unique(err) {
		return hoist.Invalid("Name %s is already taken", name)
	}
	return err
}

func appByID(ctx context.Context, q querier, id hoist.ID) (hoist.App, error) {
	return scanApp(q.QueryRow(ctx, `SELECT `+appColumns+` FROM`+appTables+`WHERE a.id = $1`, id))
}

// App returns the app with a name or ID on which the account may work. One
// that is another's is not found, as one that does not exist.
func (db *DB) App(ctx context.Context, accountID hoist.ID, identity string) (hoist.App, error) {
	where := `a.name = $2`
	if isID(identity) {
		where = `a.id = $2`
	}
	a, err := scanApp(db.Pool.QueryRow(ctx,
		`SELECT `+appColumns+` FROM`+appTables+`WHERE `+where+` AND `+maySee, accountID, identity))
	return a, found(err, "app")
}

// Apps lists the apps on which an account may work, by name.
func (db *DB) Apps(ctx context.Context, accountID hoist.ID) ([]hoist.App, error) {
	return rowsOf(ctx, db.Pool, scanApp,
		`SELECT `+appColumns+` FROM`+appTables+`WHERE `+maySee+` ORDER BY a.name`, accountID)
}

// UpdateApp changes an app and returns it as it is then.
func (db *DB) UpdateApp(ctx context.Context, id hoist.ID, change hoist.AppChange) (hoist.App, error) {
	_, err := db.Pool.Exec(ctx, `
		UPDATE apps SET name = coalesce($2, name), stack = coalesce($3, stack), maintenance = coalesce($4, maintenance),
			updated_at = now()
		WHERE id = $1`, id, change.Name, change.Stack, change.Maintenance)
	if err != nil && change.Name != nil {
		err = nameTaken(err, *change.Name)
	}
	if err != nil {
		return hoist.App{}, err
	}
	a, err := appByID(ctx, db.Pool, id)
	return a, found(err, "app")
}

// DeleteApp removes an app and all its rows. Its blobs are collected later.
func (db *DB) DeleteApp(ctx context.Context, id hoist.ID) error {
	return db.tx(ctx, func(tx pgx.Tx) error {
		// Not while it is reconciled: that changes dynos, which go after the app here,
		// and then needs the app for new ones.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(`+reconcileLock+`)`, id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM apps WHERE id = $1 AND NOT system`, id)
		return err
	})
}

// lockApp serialises what changes an app's desired state.
func lockApp(ctx context.Context, tx pgx.Tx, id hoist.ID) error {
	err := tx.QueryRow(ctx, `SELECT id FROM apps WHERE id = $1 FOR UPDATE`, id).Scan(&id)
	return found(err, "app")
}
