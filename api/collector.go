package api

import (
	"context"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

type collectorDB interface {
	// CollectReleases deletes all but the newest releases of each app, the
	// current one and those with dynos kept.
	CollectReleases(ctx context.Context, keep int) error
	// CollectSlugs deletes slugs that no release has, all but the newest of
	// each app.
	CollectSlugs(ctx context.Context, keep int) error
	// CollectBuilds deletes all but the newest builds of each app, open ones
	// kept.
	CollectBuilds(ctx context.Context, keep int) error
	AppIDs(ctx context.Context) ([]hoist.ID, error)
	SlugKeys(ctx context.Context) ([]string, error)
	OpenBuilds(ctx context.Context) ([]hoist.Build, error)
	TryLock(ctx context.Context, name string) (unlock func(), ok bool, err error)
}

// Prefixes of the keys of blobs that are collected here. The packs of
// repositories are git's business.
const (
	slugPrefix   = "slugs/"   // + app's ID, slug's ID
	sourcePrefix = "sources/" // + account's ID; archives that clients upload
	buildPrefix  = "builds/"  // + build's ID; what only the build uses
	cachePrefix  = "caches/"  // + app's ID
)

// What is kept, of each app.
const (
	releasesKept = 500
	slugsKept    = 20 // beside those of releases
	buildsKept   = 100
)

const (
	collectEvery = 10 * time.Minute
	// blobGrace is the age from which a blob that nothing refers to is garbage;
	// younger ones may be about to be referred to.
	blobGrace = 24 * time.Hour
)

// collect deletes what nobody needs any more, now and then, until ctx ends.
// Several API processes may do so at once.
func (s *Server) collect(ctx context.Context) error {
	for {
		if err := s.collectOnce(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.Log.Warn("cannot collect garbage", "err", err)
		}
		if !sleep(ctx, collectEvery) {
			return ctx.Err()
		}
	}
}

func (s *Server) collectOnce(ctx context.Context, now time.Time) error {
	if err := s.DB.CollectBuilds(ctx, buildsKept); err != nil {
		return err
	}
	if err := s.DB.CollectReleases(ctx, releasesKept); err != nil {
		return err
	}
	if err := s.DB.CollectSlugs(ctx, slugsKept); err != nil {
		return err
	}
	return s.collectBlobs(ctx, now)
}

// collectBlobs deletes blobs that nothing in the database refers to. The blobs
// are listed before the database is read: one that is referred to afterwards
// is too young. While a backup copies blobs none is deleted.
func (s *Server) collectBlobs(ctx context.Context, now time.Time) error {
	unlock, ok, err := s.DB.TryLock(ctx, hoist.LockBlobs)
	if err != nil || !ok {
		return err
	}
	defer unlock()
	var blobs []hoist.BlobInfo
	for _, prefix := range []string{slugPrefix, sourcePrefix, buildPrefix, cachePrefix} {
		err := s.Blobs.List(ctx, prefix, func(b hoist.BlobInfo) error {
			blobs = append(blobs, b)
			return nil
		})
		if err != nil {
			return err
		}
	}
	needed, err := s.neededBlobs(ctx)
	if err != nil {
		return err
	}
	for _, b := range blobs {
		if needed.has(b.Key, now.Sub(b.ModTime) < blobGrace) {
			continue
		}
		if err := s.Blobs.Delete(ctx, b.Key); err != nil {
			return err
		}
		s.Log.Info("deleted a blob that nothing refers to", "key", b.Key)
	}
	return nil
}

// neededBlobs is what the database refers to.
type neededBlobs struct {
	apps   map[hoist.ID]bool
	builds map[hoist.ID]bool // open ones
	keys   map[string]bool   // of slugs, and of open builds' sources
}

func (s *Server) neededBlobs(ctx context.Context) (neededBlobs, error) {
	n := neededBlobs{map[hoist.ID]bool{}, map[hoist.ID]bool{}, map[string]bool{}}
	builds, err := s.DB.OpenBuilds(ctx)
	if err != nil {
		return n, err
	}
	for _, b := range builds {
		n.builds[b.ID] = true
		n.keys[b.SourceKey] = true
	}
	slugs, err := s.DB.SlugKeys(ctx)
	if err != nil {
		return n, err
	}
	for _, key := range slugs {
		n.keys[key] = true
	}
	apps, err := s.DB.AppIDs(ctx)
	for _, id := range apps {
		n.apps[id] = true
	}
	return n, err
}

// has reports whether a blob is needed. What belongs to an app that is gone is
// garbage at once: IDs do not come again.
func (n neededBlobs) has(key string, young bool) bool {
	prefix, owner := splitKey(key)
	switch prefix {
	case cachePrefix:
		return n.apps[owner]
	case slugPrefix:
		return n.apps[owner] && (young || n.keys[strings.TrimSuffix(key, uploadSuffix)])
	case buildPrefix:
		return young || n.builds[owner]
	}
	return young || n.keys[key]
}

// splitKey returns the prefix of a key and the ID that follows it:
// "caches/ID.tar.zst", "slugs/ID/…".
func splitKey(key string) (prefix, id string) {
	prefix, rest, _ := strings.Cut(key, "/")
	id, _, _ = strings.Cut(rest, "/")
	id, _, _ = strings.Cut(id, ".")
	return prefix + "/", id
}
