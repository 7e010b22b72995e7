package postgres

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

const shownDyno = `d.id, d.app_id, a.name, coalesce(d.release_id::text, ''), coalesce(r.version, 0), d.kind, d.type, d.number,
	d.size, d.command, d.want, d.state, d.attach, d.tty, d.timeout_s, d.restarts, d.restart_at, d.exit_code, d.reason,
	d.created_at, d.updated_at, d.state_at`

const shownDynoTables = ` dynos d JOIN apps a ON a.id = d.app_id LEFT JOIN releases r ON r.id = d.release_id `

// scanShownDyno reads what the API shows of a dyno: not its environment, nor
// where it runs.
func scanShownDyno(row pgx.Row) (d hoist.Dyno, err error) {
	var timeout int
	err = row.Scan(&d.ID, &d.AppID, &d.AppName, &d.ReleaseID, &d.Version, &d.Kind, &d.Type, &d.Number,
		&d.Size, &d.Command, &d.Want, &d.State, &d.Attach, &d.TTY, &timeout, &d.Restarts, &d.RestartAt, &d.ExitCode, &d.Reason,
		&d.CreatedAt, &d.UpdatedAt, &d.StateAt)
	d.Timeout = time.Duration(timeout) * time.Second
	return d, err
}

// RunDyno inserts a one-off dyno of the app's current release, with the app's
// next number. More than limit at a time are refused.
func (db *DB) RunDyno(ctx context.Context, d hoist.Dyno, limit int) (hoist.Dyno, error) {
	err := db.tx(ctx, func(tx pgx.Tx) error {
		if err := lockApp(ctx, tx, d.AppID); err != nil {
			return err
		}
		// A statement of its own: one that waited for the lock would not see the
		// dynos that were started meanwhile.
		var running int
		err := tx.QueryRow(ctx, `
			UPDATE apps SET next_dyno = next_dyno + 1 WHERE id = $1
			RETURNING next_dyno - 1, coalesce(current_release_id::text, ''),
				(SELECT count(*) FROM dynos WHERE app_id = $1 AND kind = 'run' AND state <> 'down')`,
			d.AppID).Scan(&d.Number, &d.ReleaseID, &running)
		if err != nil {
			return err
		}
		if running >= limit {
			return hoist.Invalid("%d one-off dynos are running, which is the limit. Stop one with ps:stop.", running)
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO dynos (id, app_id, release_id, kind, type, number, size, command, env, attach, tty, secret_hash, timeout_s)
			VALUES ($1, $2, $3, 'run', $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			d.ID, d.AppID, nullID(d.ReleaseID), d.Type, d.Number, d.Size, d.Command, d.Env, d.Attach, d.TTY,
			d.SecretHash, int(d.Timeout/time.Second))
		if err != nil {
			return err
		}
		d, err = scanShownDyno(tx.QueryRow(ctx, `SELECT `+shownDyno+` FROM`+shownDynoTables+`WHERE d.id = $1`, d.ID))
		return err
	})
	return d, err
}

// Dynos lists the dynos of an app that run or should, those of builds left
// out.
func (db *DB) Dynos(ctx context.Context, appID hoist.ID) ([]hoist.Dyno, error) {
	return rowsOf(ctx, db.Pool, scanShownDyno, `
		SELECT `+shownDyno+` FROM`+shownDynoTables+`
		WHERE d.app_id = $1 AND d.kind <> 'build' AND d.state <> 'down' ORDER BY d.type, d.number, d.created_at`, appID)
}

// Dyno returns a dyno of an app by name or ID; the newest of a name, and also
// one that has ended while its row is kept.
func (db *DB) Dyno(ctx context.Context, appID hoist.ID, identity string) (hoist.Dyno, error) {
	where, args := `d.id = $2`, []any{appID, identity}
	if !isID(identity) {
		kind, number, err := splitDynoName(identity)
		if err != nil {
			return hoist.Dyno{}, err
		}
		where, args = `d.type = $2 AND d.number = $3`, []any{appID, kind, number}
	}
	d, err := scanShownDyno(db.Pool.QueryRow(ctx, `
		SELECT `+shownDyno+` FROM`+shownDynoTables+`
		WHERE d.app_id = $1 AND d.kind <> 'build' AND `+where+`
		ORDER BY d.state = 'down', d.created_at DESC LIMIT 1`, args...))
	return d, found(err, "dyno")
}

// StopDynos asks for dynos of an app to end: the one with a name or ID, or
// those of the formation with a type, or, with neither, all of the formation.
// The formation's are replaced by new ones; with WantRestart they stay until
// those are up. It returns how many there were.
func (db *DB) StopDynos(ctx context.Context, appID hoist.ID, identity, processType string, want hoist.DynoWant) (int64, error) {
	where, args := `kind = 'formation'`, []any{appID, want}
	switch {
	case processType != "":
		where, args = `kind = 'formation' AND type = $3`, append(args, processType)
	case isID(identity):
		where, args = `kind <> 'build' AND id = $3`, append(args, identity)
	case identity != "":
		kind, number, err := splitDynoName(identity)
		if err != nil {
			return 0, err
		}
		where, args = `kind <> 'build' AND type = $3 AND number = $4`, append(args, kind, number)
	}
	tag, err := db.Pool.Exec(ctx, `
		UPDATE dynos SET want = CASE WHEN kind = 'formation' AND want <> 'down' THEN $2::text ELSE 'down' END, updated_at = now()
		WHERE app_id = $1 AND state <> 'down' AND `+where, args...)
	return tag.RowsAffected(), err
}

func splitDynoName(name string) (string, int32, error) {
	kind, number, _ := strings.Cut(name, ".")
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return "", 0, hoist.NotFound("dyno")
	}
	return kind, int32(n), nil
}
