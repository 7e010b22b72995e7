package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// flock waits for a lock on a file: syscall.LOCK_SH or LOCK_EX. Processes that
// share a directory exclude each other too. Closing the file unlocks.
func flock(ctx context.Context, path string, how int) (*os.File, error) {
	for {
		f, err := tryFlock(path, how)
		if f != nil || err != nil {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// tryFlock returns nil if somebody else has the lock.
func tryFlock(path string, how int) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, err
	}
	// Whoever removed the file while we waited holds a lock on nothing.
	if a, err := f.Stat(); err == nil {
		if b, err := os.Stat(path); err == nil && os.SameFile(a, b) {
			return f, nil
		}
	}
	f.Close()
	return nil, nil
}
