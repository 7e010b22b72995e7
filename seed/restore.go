package seed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
	"github.com/hoist-sh/hoist/postgres"
)

// Fresh is the ground of a data directory that is being made.
type Fresh struct {
	DB       *postgres.DB // as the role that owns the schema
	Blobs    hoist.Blobs
	SaveFile func(name string, content []byte) error // one of KeptFiles
}

// Restore makes a data directory: it starts the ground in another one beside
// it, has fill fill that, and renames it when all is well. There must be none
// yet, or an empty one. When fill fails, or this process is killed, it is as before.
func Restore(ctx context.Context, s Settings, log *slog.Logger, fill func(ctx context.Context, f Fresh) error) error {
	if dir, err := filepath.EvalSymlinks(s.DataDir); err == nil {
		s.DataDir = dir
	}
	if err := checkFresh(s.DataDir); err != nil {
		return err
	}
	beside := s
	beside.DataDir += ".restoring"
	if err := beside.makeDir(); err != nil {
		return err
	}
	held, err := lock(beside)
	if err != nil {
		var running *RunningError
		if errors.As(err, &running) {
			err = fmt.Errorf("Another restore goes on in %s (%s).", beside.DataDir, running.Holder)
		}
		return err
	}
	defer held.Close()
	defer os.RemoveAll(beside.DataDir) // nothing is there after the rename
	if err := beside.clear(); err != nil {
		return err
	}
	if err := withGround(ctx, beside, log, fill); err != nil {
		return err
	}
	if err := saveSettings(s, beside.DataDir); err != nil { // `hoist purge` asks for them
		return err
	}
	if err := syscall.Rename(beside.DataDir, s.DataDir); err != nil { // os.Rename does not replace an empty one
		return fmt.Errorf("rename %s to %s: %w", beside.DataDir, s.DataDir, err)
	}
	return hoist.SyncDir(filepath.Dir(s.DataDir))
}

// checkFresh says why a platform cannot be restored in a directory.
func checkFresh(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var here, above syscall.Stat_t
	if err := errors.Join(syscall.Stat(dir, &here), syscall.Stat(filepath.Dir(dir), &above)); err != nil {
		return err
	}
	if here.Dev != above.Dev {
		return fmt.Errorf("%s is a file system of its own, which cannot be put in place at once; name a directory below it with --data.", dir)
	}
	if len(entries) == 0 {
		return nil
	}
	var names []string
	for _, e := range entries[:min(len(entries), 3)] {
		names = append(names, e.Name())
	}
	return fmt.Errorf("%s is not empty (%s, …). Name another directory with --data or, if the platform there is not needed any more, remove it: hoist purge --data %s",
		dir, strings.Join(names, ", "), dir)
}

// clear removes what a restore that was killed has left.
func (s *Settings) clear() error {
	entries, err := os.ReadDir(s.DataDir)
	for _, e := range entries {
		if e.Name() != seedLock {
			err = errors.Join(err, os.RemoveAll(s.file(e.Name())))
		}
	}
	return err
}

// withGround runs the database and the blob store of a data directory, unless
// they are somebody else's, as long as fill takes.
func withGround(ctx context.Context, settings Settings, log *slog.Logger, fill func(ctx context.Context, f Fresh) error) (err error) {
	s := &Seed{cfg: Config{Settings: settings}, log: log}
	if s.state, err = loadState(settings.file("seed.json"), s.ours); err != nil {
		return err
	}
	below, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	var parts []func(context.Context, func()) error
	if settings.DatabaseURL == "" {
		parts = append(parts, s.runPostgres)
	}
	if settings.BlobURL == "" {
		parts = append(parts, s.runBlobs)
	}
	ready, ended := make(chan struct{}, len(parts)), make(chan error, len(parts))
	for _, run := range parts {
		running.Go(func() { ended <- run(below, func() { ready <- struct{}{} }) })
	}
	for range parts {
		select {
		case <-ready:
		case err := <-ended:
			return err
		}
	}
	db, err := postgres.Open(ctx, settings.databaseURL(s.state, hoist.ComponentAPI))
	if err != nil {
		return err
	}
	defer db.Close()
	blobs, err := blob.Open(settings.blobURL(s.state, hoist.ComponentAPI))
	if err != nil {
		return err
	}
	return fill(ctx, Fresh{db, blobs, settings.saveKept})
}
