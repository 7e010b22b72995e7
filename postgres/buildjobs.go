package postgres

import (
	"context"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/jackc/pgx/v5"
)

// A claim on a build is a token in builds.claimed_by and a lease. Every change
// by its holder is guarded by both state and token, so a worker that was too
// slow changes nothing any more.

// ClaimBuildJob claims the oldest build that is to be compiled: a pending one
// whose time has come, or one whose worker let its lease run out. Its Attempts
// count this one. Builds that are only for self always count, others only if it
// is proven; those for somebody else never. ErrNotFound means there is none.
func (db *DB) ClaimBuildJob(ctx context.Context, token string, self hoist.ID, proven bool, lease time.Duration) (hoist.Build, error) {
	var b hoist.Build
	err := db.Pool.QueryRow(ctx, `
		UPDATE builds SET state = 'building', claimed_by = $1, lease_until = now() + $2::interval,
			attempts = attempts + 1, updated_at = now()
		WHERE id = (
			SELECT id FROM builds
			WHERE finished_at IS NULL AND state IN ('pending', 'building') AND (lease_until IS NULL OR lease_until < now())
				AND (only_for = $3 OR only_for IS NULL AND $4)
			ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING id, app_id, account_id, state, stack, CASE WHEN buildpacks = '[]' THEN coalesce(
				(SELECT jsonb_agg(jsonb_build_object('Ordinal', i.ordinal, 'URL', i.url, 'Name', i.name) ORDER BY i.ordinal)
				FROM buildpack_installations i WHERE i.app_id = builds.app_id), '[]') ELSE buildpacks END,
			source_key, source_url, source_checksum, source_version, source_description, push, attempts, claimed_by, created_at`,
		token, lease, nullID(self), proven).Scan(&b.ID, &b.AppID, &b.AccountID, &b.State, &b.Stack, &b.Buildpacks,
		&b.SourceKey, &b.SourceURL, &b.SourceChecksum, &b.SourceVersion, &b.SourceDescription, &b.Push, &b.Attempts, &b.ClaimedBy, &b.CreatedAt)
	return b, found(err, "build")
}

// RenewBuildJob renews the lease of a claimed build. ErrConflict means that the
// claim is lost: cancelled, or taken over.
func (db *DB) RenewBuildJob(ctx context.Context, b hoist.Build, lease time.Duration) error {
	return db.changeBuildJob(ctx, b, `lease_until = now() + $3::interval`, lease)
}

// ReturnBuildJob gives a claimed build back, to be claimed again after the
// delay. A handover, unlike a failure, does not count as an attempt.
func (db *DB) ReturnBuildJob(ctx context.Context, b hoist.Build, delay time.Duration, handover bool) error {
	return db.changeBuildJob(ctx, b, `state = 'pending', claimed_by = '', lease_until = now() + $3::interval,
		attempts = attempts - $4::int`, delay, map[bool]int{true: 1}[handover])
}

// FailBuildJob ends a claimed build. reason is for the user.
func (db *DB) FailBuildJob(ctx context.Context, b hoist.Build, reason, output string) error {
	return db.changeBuildJob(ctx, b, `state = 'failed', error = $3, output = $4, finished_at = now(),
		claimed_by = '', lease_until = NULL`, reason, output)
}

// FailLostBuildJobs ends the builds that are only for a component which has not
// been seen for Expiry, and that nobody compiles. They are returned.
func (db *DB) FailLostBuildJobs(ctx context.Context, reason string) ([]hoist.Build, error) {
	return rowsOf(ctx, db.Pool, func(row pgx.Row) (b hoist.Build, err error) { return b, row.Scan(&b.ID, &b.AppID) }, `
		UPDATE builds b SET state = 'failed', error = $1, finished_at = now(), claimed_by = '', lease_until = NULL, updated_at = now()
		WHERE finished_at IS NULL AND state IN ('pending', 'building') AND (lease_until IS NULL OR lease_until < now())
			AND only_for IS NOT NULL AND created_at < now() - $2::interval
			AND NOT EXISTS (SELECT FROM components c WHERE c.id = b.only_for AND c.seen_at > now() - $2::interval)
		RETURNING id, app_id`, reason, Expiry)
}

// FinishBuildJob registers the slug of a claimed build and marks it built.
func (db *DB) FinishBuildJob(ctx context.Context, b hoist.Build, s hoist.Slug, output string) error {
	return db.tx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO slugs (id, app_id, blob_key, sha256, size, process_types, buildpack_provided, commit, commit_description, stack, ready)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, true)
			ON CONFLICT (id) DO NOTHING`,
			s.ID, s.AppID, s.Key, s.SHA256, s.Size, s.ProcessTypes, s.BuildpackProvided, s.Commit, s.CommitDescription, s.Stack)
		if err != nil {
			return err
		}
		return changed(tx.Exec(ctx, `
			UPDATE builds SET state = 'built', slug_id = $3, output = $4, claimed_by = '', lease_until = NULL, updated_at = now()
			WHERE id = $1 AND claimed_by = $2 AND state = 'building'`, b.ID, b.ClaimedBy, s.ID, output))
	})
}

func (db *DB) changeBuildJob(ctx context.Context, b hoist.Build, set string, args ...any) error {
	return changed(db.Pool.Exec(ctx, `UPDATE builds SET `+set+`, updated_at = now()
		WHERE id = $1 AND claimed_by = $2 AND state = 'building'`, append([]any{b.ID, b.ClaimedBy}, args...)...))
}

// changed turns an update of no row into ErrConflict.
func changed(tag interface{ RowsAffected() int64 }, err error) error {
	if err == nil && tag.RowsAffected() == 0 {
		return hoist.ErrConflict
	}
	return err
}

// BuildConfig returns the config vars that an app's build sees.
func (db *DB) BuildConfig(ctx context.Context, appID hoist.ID) (hoist.ConfigVars, error) {
	var config hoist.ConfigVars
	err := db.Pool.QueryRow(ctx, `SELECT config FROM apps WHERE id = $1`, appID).Scan(&config)
	return config, found(err, "app")
}

// StartBuildDyno inserts an attached one-off dyno for a claimed build, and
// returns its number. ErrConflict means that the claim is lost.
func (db *DB) StartBuildDyno(ctx context.Context, b hoist.Build, d hoist.Dyno) (number int, err error) {
	err = db.tx(ctx, func(tx pgx.Tx) error {
		// The app first, as all do who lock both.
		err := tx.QueryRow(ctx, `UPDATE apps SET next_build = next_build + 1 WHERE id = $1 RETURNING next_build - 1`, b.AppID).Scan(&number)
		if err != nil {
			return found(err, "app")
		}
		err = changed(tx.Exec(ctx, `SELECT FROM builds WHERE id = $1 AND claimed_by = $2 AND state = 'building' FOR UPDATE`, b.ID, b.ClaimedBy))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO dynos (id, app_id, kind, type, number, size, command, env, attach, secret_hash, timeout_s)
			VALUES ($1, $2, 'build', 'build', $3, $4, $5, $6, true, $7, $8)`,
			d.ID, b.AppID, number, d.Size, d.Command, d.Env, d.SecretHash, int(d.Timeout.Seconds()))
		return err
	})
	return number, err
}

// BuildDyno returns a dyno and the address of its worker's attach listener,
// which is empty while no worker has it.
func (db *DB) BuildDyno(ctx context.Context, id hoist.ID) (d hoist.Dyno, listener string, err error) {
	d.ID = id
	err = db.Pool.QueryRow(ctx, `
		SELECT d.state, d.exit_code, d.reason, coalesce(d.worker_id::text, ''), coalesce(w.address, '')
		FROM dynos d LEFT JOIN workers w ON w.id = d.worker_id WHERE d.id = $1`, id).
		Scan(&d.State, &d.ExitCode, &d.Reason, &d.WorkerID, &listener)
	return d, listener, found(err, "dyno")
}

// StopAbandonedBuildDynos asks for the end of the dynos of builds that have
// ended a while ago, which their workers would have stopped had they lived.
func (db *DB) StopAbandonedBuildDynos(ctx context.Context) error {
	_, err := db.Pool.Exec(ctx, `
		UPDATE dynos d SET want = 'down', updated_at = now(),
			state = CASE WHEN d.worker_id IS NULL THEN 'down' ELSE d.state END,
			state_at = CASE WHEN d.worker_id IS NULL THEN now() ELSE d.state_at END
		FROM builds b
		WHERE d.kind = 'build' AND d.state <> 'down' AND (d.want <> 'down' OR d.worker_id IS NULL)
			AND b.app_id = d.app_id AND b.id::text = d.env->>'REQUEST_ID' AND b.finished_at < now() - interval '5 seconds'`)
	return err
}

// StopBuildDynos asks for the end of all dynos of a build, unless somebody else
// compiles it now, and returns how many still run. One that no worker has taken
// yet ends at once.
func (db *DB) StopBuildDynos(ctx context.Context, b hoist.Build) (running int, err error) {
	_, err = db.Pool.Exec(ctx, `
		UPDATE dynos SET want = 'down', updated_at = now(),
			state = CASE WHEN worker_id IS NULL THEN 'down' ELSE state END,
			state_at = CASE WHEN worker_id IS NULL THEN now() ELSE state_at END
		WHERE app_id = $1 AND kind = 'build' AND env->>'REQUEST_ID' = $2 AND state <> 'down'
			AND (want <> 'down' OR worker_id IS NULL)
			AND NOT EXISTS (SELECT FROM builds WHERE id = $2::text::uuid AND state = 'building' AND claimed_by NOT IN ('', $3))`,
		b.AppID, b.ID, b.ClaimedBy)
	if err != nil {
		return 0, err
	}
	err = db.Pool.QueryRow(ctx, `SELECT count(*) FROM dynos
		WHERE app_id = $1 AND kind = 'build' AND env->>'REQUEST_ID' = $2 AND state <> 'down'`, b.AppID, b.ID).Scan(&running)
	return running, err
}
