package postgres

import (
	"context"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

func scanProcessType(row pgx.Row) (p hoist.ProcessType, err error) {
	err = row.Scan(&p.ID, &p.AppID, &p.Type, &p.Command, &p.Quantity, &p.Size, &p.CreatedAt, &p.UpdatedAt)
	return p, err
}

// Formation lists an app's process types, by name.
func (db *DB) Formation(ctx context.Context, appID hoist.ID) ([]hoist.ProcessType, error) {
	return formationOf(ctx, db.Pool, appID)
}

func formationOf(ctx context.Context, q querier, appID hoist.ID) ([]hoist.ProcessType, error) {
	return rowsOf(ctx, q, scanProcessType, `
		SELECT id, app_id, type, command, quantity, size, created_at, updated_at
		FROM formation WHERE app_id = $1 ORDER BY type`, appID)
}

// UpdateFormation lets change alter the quantities and sizes of an app's
// process types, all or, if it returns an error, none.
func (db *DB) UpdateFormation(ctx context.Context, appID hoist.ID, change func([]hoist.ProcessType) error) ([]hoist.ProcessType, error) {
	var formation []hoist.ProcessType
	err := db.tx(ctx, func(tx pgx.Tx) error {
		if err := lockApp(ctx, tx, appID); err != nil {
			return err
		}
		var err error
		if formation, err = formationOf(ctx, tx, appID); err != nil {
			return err
		}
		if err := change(formation); err != nil {
			return err
		}
		if err := writeFormation(ctx, tx, appID, formation); err != nil {
			return err
		}
		formation, err = formationOf(ctx, tx, appID)
		return err
	})
	return formation, err
}

// writeFormation makes the rows of an app equal to formation.
func writeFormation(ctx context.Context, tx pgx.Tx, appID hoist.ID, formation []hoist.ProcessType) error {
	types := make([]string, 0, len(formation))
	for _, p := range formation {
		types = append(types, p.Type)
		_, err := tx.Exec(ctx, `
			INSERT INTO formation AS f (id, app_id, type, command, quantity, size) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (app_id, type) DO UPDATE SET command = $4, quantity = $5, size = $6, updated_at = now()
			WHERE (f.command, f.quantity, f.size) IS DISTINCT FROM ($4, $5, $6)`,
			hoist.NewID(), appID, p.Type, p.Command, p.Quantity, p.Size)
		if err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `DELETE FROM formation WHERE app_id = $1 AND NOT type = ANY($2)`, appID, types)
	return err
}
