package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// lock is an advisory lock of a session of its own: it is given up when this
// process ends in whatever way.
type lock struct {
	db  *DB
	key int64
}

// Lock waits until nobody else, in any process, holds the lock called name, or
// ctx ends. If it has to wait, waiting is told how long the other has been
// connected to hold or get it.
func (db *DB) Lock(ctx context.Context, name string, waiting func(since time.Duration)) (unlock func(), err error) {
	sum := sha256.Sum256([]byte(name))
	l := lock{db: db, key: int64(binary.BigEndian.Uint64(sum[:]))}
	conn, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	ok, err := l.try(ctx, conn)
	if err == nil && !ok {
		waiting(l.age(ctx))
		_, err = conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, l.key)
	}
	if err != nil {
		closeConn(conn)
		return nil, err
	}
	keep, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.keep(keep, conn)
	}()
	return func() { cancel(); <-done }, nil
}

// TryLock is Lock for who does not want to wait; ok is false if somebody else
// holds the lock.
func (db *DB) TryLock(ctx context.Context, name string) (unlock func(), ok bool, err error) {
	busy := errors.New("busy")
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	unlock, err = db.Lock(ctx, name, func(time.Duration) { cancel(busy) })
	if err != nil && context.Cause(ctx) == busy {
		return nil, false, nil
	}
	return unlock, err == nil, err
}

func (l lock) connect(ctx context.Context) (*pgx.Conn, error) {
	cfg := l.db.Pool.Config().ConnConfig
	cfg.RuntimeParams["application_name"] = "hoist lock"
	// A machine that lost its power must not hold the lock for hours.
	cfg.RuntimeParams["tcp_keepalives_idle"] = "10"
	cfg.RuntimeParams["tcp_keepalives_interval"] = "5"
	cfg.RuntimeParams["tcp_keepalives_count"] = "3"
	return pgx.ConnectConfig(ctx, cfg)
}

func (l lock) try(ctx context.Context, conn *pgx.Conn) (ok bool, err error) {
	err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, l.key).Scan(&ok)
	return ok, err
}

// age is since when the lock's holder has been connected; 0 if unknown.
func (l lock) age(ctx context.Context) time.Duration {
	var seconds float64
	l.db.Pool.QueryRow(ctx, `
		SELECT coalesce(max(extract(epoch FROM now() - a.backend_start)), 0)::float8
		FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
			AND (l.classid::bigint << 32) | l.objid::bigint = $1`, l.key).Scan(&seconds)
	return time.Duration(seconds * float64(time.Second))
}

// keep holds the session until ctx ends. When the database was away the lock
// is gone with it; it is taken again unless somebody else was faster.
func (l lock) keep(ctx context.Context, conn *pgx.Conn) {
	defer func() { closeConn(conn) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if conn != nil && conn.Ping(ctx) == nil {
			continue
		}
		closeConn(conn)
		var err error
		if conn, err = l.connect(ctx); err != nil {
			conn = nil
			continue
		}
		l.try(ctx, conn)
	}
}

func closeConn(conn *pgx.Conn) {
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn.Close(ctx)
}
