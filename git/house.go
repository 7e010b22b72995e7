package git

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hoist-sh/hoist"
)

const (
	compactAfter = 20        // packs of a repository
	sweepEvery   = time.Hour // unneeded packs
	orphanAge    = time.Hour // younger packs may belong to a push that is being taken
	tidyEvery    = time.Minute
)

// background runs f beside what goes on, until Run ends for good.
func (s *Server) background(f func(ctx context.Context)) {
	if s.gone.Err() != nil {
		return
	}
	s.work.Go(func() { f(s.gone) })
}

// keepHouse bounds what git keeps on disk and in the blob store.
func (s *Server) keepHouse(ctx context.Context) {
	tidy, sweep := time.NewTicker(tidyEvery), time.NewTicker(sweepEvery)
	defer tidy.Stop()
	defer sweep.Stop()
	for {
		s.tidyScratch()
		s.cache.evict()
		select {
		case <-ctx.Done():
			return
		case <-tidy.C:
		case <-sweep.C:
			if err := s.sweep(ctx, time.Now().Add(-orphanAge)); err != nil && ctx.Err() == nil {
				s.Log.Warn("could not remove unneeded packs", "err", err)
			}
		}
	}
}

// tidyScratch removes the scratch repositories of processes that were killed.
func (s *Server) tidyScratch() {
	locks, _ := filepath.Glob(filepath.Join(s.scratchDir(), "*.lock"))
	for _, path := range locks {
		if lock, _ := tryFlock(path, syscall.LOCK_EX); lock != nil {
			(&scratch{dir: strings.TrimSuffix(path, ".lock"), lock: lock}).remove()
		}
	}
}

// evict removes the mirrors used longest ago until the rest is within the
// limit. Those in use stay.
func (c *cache) evict() {
	boots, _ := filepath.Glob(filepath.Join(filepath.Dir(c.dir), "*"))
	for _, dir := range boots {
		if dir != c.dir {
			os.RemoveAll(dir) // of an earlier boot
		}
	}
	type entry struct {
		id   hoist.ID
		size int64
		used time.Time
	}
	var entries []entry
	var total int64
	uses, _ := filepath.Glob(filepath.Join(c.dir, "*.use"))
	for _, path := range uses {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		e := entry{id: strings.TrimSuffix(filepath.Base(path), ".use"), used: info.ModTime()}
		packs, _ := filepath.Glob(filepath.Join(c.path(e.id), "objects", "pack", "*"))
		for _, p := range packs {
			if info, err := os.Stat(p); err == nil {
				e.size += info.Size()
			}
		}
		total += e.size
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.used.Compare(b.used) })
	for _, e := range entries {
		if total <= c.limit {
			return
		}
		use, _ := tryFlock(c.usePath(e.id), syscall.LOCK_EX)
		if use == nil {
			continue
		}
		os.RemoveAll(c.path(e.id))
		use.Close()
		total -= e.size
	}
}

// compact makes one pack of an app's, with what its refs need, if they are many
// or too big. Nobody can push meanwhile: what a push is made against must not
// change under it.
func (s *Server) compact(ctx context.Context, appID hoist.ID) {
	repo, err := s.DB.Repo(ctx, appID)
	if n := len(repo.Packs); err != nil || n <= compactAfter && (n < 2 || packed(repo) <= s.RepoLimit) {
		return
	}
	unlock, ok, err := s.DB.TryLock(ctx, pushLock(appID))
	if err != nil || !ok {
		return // after the next push, then
	}
	defer unlock()
	if err := s.repack(ctx, appID); err != nil && ctx.Err() == nil {
		s.Log.Warn("could not compact a repository", "app", appID, "err", err)
	}
}

func (s *Server) repack(ctx context.Context, appID hoist.ID) error {
	m, err := s.cache.open(ctx, appID)
	if err != nil {
		return err
	}
	defer m.close()
	revs := strings.Join(slices.Sorted(maps.Values(m.repo.Refs)), "\n") + "\n"
	f, err := packObjects(ctx, m.dir, nil, revs, max(packed(m.repo), s.RepoLimit), errors.New("it would not become smaller"))
	if err != nil {
		return err
	}
	if f == nil {
		return errors.New("its refs have no objects")
	}
	defer f.Close()
	pack, err := s.keepPack(ctx, appID, f)
	if err != nil {
		return err
	}
	return s.DB.ReplacePacks(ctx, appID, m.repo.Generation, *pack)
}

// sweep removes packs older than before that nothing refers to: those of
// rejected pushes, compacted repositories, destroyed apps and killed
// processes. Sources belong to the builds and are
// collected with them. While a backup copies blobs none is removed.
func (s *Server) sweep(ctx context.Context, before time.Time) error {
	unlock, ok, err := s.DB.TryLock(ctx, hoist.LockBlobs)
	if err != nil || !ok {
		return err
	}
	defer unlock()
	var old []string
	err = s.Blobs.List(ctx, repoPrefix, func(b hoist.BlobInfo) error {
		if b.ModTime.Before(before) {
			old = append(old, b.Key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Asked for after the list was made: nothing old becomes needed again.
	live, err := s.DB.LivePacks(ctx)
	if err != nil {
		return err
	}
	for _, key := range old {
		if live[key] {
			continue
		}
		if err := s.Blobs.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
