package postgres

import (
	"context"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

// SeeWorker writes a worker's row, or renews it, and returns whether it is to
// be drained: because it says so or because somebody set it.
func (db *DB) SeeWorker(ctx context.Context, w hoist.Worker) (draining bool, err error) {
	err = db.Pool.QueryRow(ctx, `
		INSERT INTO workers AS w (id, address, memory, draining, probation, host) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET address = $2, memory = $3, draining = w.draining OR $4, probation = $5, host = $6, seen_at = now()
		RETURNING draining`, w.ID, w.Address, w.Memory, w.Draining, w.Probation, w.Host).Scan(&draining)
	return draining, err
}

// Workers lists the workers, lost ones too until they are forgotten.
func (db *DB) Workers(ctx context.Context) ([]hoist.Worker, error) { return queryWorkers(ctx, db.Pool) }

func queryWorkers(ctx context.Context, q querier) ([]hoist.Worker, error) {
	rows, err := q.Query(ctx, `SELECT id, address, memory, draining, probation, host, seen_at FROM workers ORDER BY id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (w hoist.Worker, err error) {
		return w, row.Scan(&w.ID, &w.Address, &w.Memory, &w.Draining, &w.Probation, &w.Host, &w.SeenAt)
	})
}

// LoseWorkers forgets the workers not seen for longer than after, and those that LoseWorker
// named; with after 0 only these, and never the one that asks. Their formation dynos wait for another worker, their one-offs have ended; those
// dynos are returned as they are now.
func (db *DB) LoseWorkers(ctx context.Context, self hoist.ID, after time.Duration) ([]hoist.Dyno, error) {
	var dynos []hoist.Dyno
	err := db.tx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT id FROM workers WHERE seen_at < CASE WHEN $1::interval > '0' THEN now() - $1::interval ELSE to_timestamp(1) END
			AND id <> $2 FOR UPDATE SKIP LOCKED`, after, self)
		if err != nil {
			return err
		}
		lost, err := pgx.CollectRows(rows, pgx.RowTo[hoist.ID])
		if err != nil || len(lost) == 0 {
			return err
		}
		rows, err = tx.Query(ctx, `
			UPDATE dynos SET worker_id = NULL, address = '', restart_at = NULL, state_at = now(), updated_at = now(),
				state = CASE WHEN kind = 'formation' AND want <> 'down' THEN 'starting' ELSE 'down' END,
				reason = CASE WHEN want = 'down' THEN reason ELSE 'its worker was lost' END
			WHERE worker_id = ANY($1::uuid[]) AND state <> 'down' RETURNING id`, lost)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[hoist.ID])
		if err != nil {
			return err
		}
		if dynos, err = queryDynos(ctx, tx, `WHERE d.id = ANY($1::uuid[])`, ids); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM workers WHERE id = ANY($1::uuid[])`, lost)
		return err
	})
	return dynos, err
}

// DeleteWorker forgets a worker, unless it still has dynos.
func (db *DB) DeleteWorker(ctx context.Context, id hoist.ID) error {
	_, err := db.Pool.Exec(ctx, `
		DELETE FROM workers WHERE id = $1
		AND NOT EXISTS (SELECT FROM dynos WHERE worker_id = $1 AND state <> 'down')`, id)
	return err
}

// ResumeWorker ends a drain that the worker's own stop began.
func (db *DB) ResumeWorker(ctx context.Context, id hoist.ID) error {
	_, err := db.Pool.Exec(ctx, `UPDATE workers SET draining = false WHERE id = $1`, id)
	return err
}
