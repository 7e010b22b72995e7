package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// BackToThePresent makes those times that decide what happens next, and that are later than any
// could be, the present: the clock was set back since they were written. Else the processes that were
// there before would be the ones seen last, and what has a lease or a time to be started
// again would wait, until the clock has caught up. It returns how many rows it changed.
func (db *DB) BackToThePresent(ctx context.Context) (n int64, err error) {
	err = db.tx(ctx, func(tx pgx.Tx) error {
		n = 0
		for _, update := range []string{
			`components SET seen_at = now() WHERE seen_at > now() + interval '10 seconds'`,
			`workers SET seen_at = now() WHERE seen_at > now() + interval '10 seconds'`,
			// No lease and no back-off is an hour.
			`builds SET lease_until = now() WHERE finished_at IS NULL AND lease_until > now() + interval '1 hour'`,
			`builds SET created_at = now() WHERE finished_at IS NULL AND created_at > now() + interval '10 seconds'`,
			`dynos SET restart_at = now() WHERE state <> 'down' AND restart_at > now() + interval '1 hour'`,
			`dynos SET state_at = now() WHERE state <> 'down' AND state_at > now() + interval '10 seconds'`,
			`dynos SET created_at = now() WHERE state <> 'down' AND kind <> 'formation' AND created_at > now() + interval '10 seconds'`,
		} {
			tag, err := tx.Exec(ctx, `UPDATE `+update)
			if err != nil {
				return err
			}
			n += tag.RowsAffected()
		}
		return nil
	})
	return n, err
}
