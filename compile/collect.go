package compile

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/buildpack/slug"
)

const (
	collectEvery = 10 * time.Minute
	orphanAge    = time.Hour      // before a blob without a row is taken for an orphan
	unusedAge    = 24 * time.Hour // before a slug without a release is forgotten
)

// sweep deletes what only the build that has ended used. What a crash leaves
// the collector finds.
func (j *job) sweep(ctx context.Context) {
	prefix := j.prefix()
	if again, err := j.db.UncompiledBuilds(ctx, []hoist.ID{j.build.ID}); err == nil && len(again) == 0 {
		prefix = buildPrefix(j.build.ID)
	}
	j.deleteAll(ctx, prefix, func(hoist.BlobInfo) bool { return true })
	if info, err := j.blobs.Stat(ctx, cacheKey(j.build.AppID)); err == nil && info.Size > slug.CacheLimit {
		j.blobs.Delete(ctx, info.Key)
	}
}

// deleteAll deletes the blobs with the prefix that are chosen.
func (w *Worker) deleteAll(ctx context.Context, prefix string, chosen func(hoist.BlobInfo) bool) {
	var keys []string
	err := w.blobs.List(ctx, prefix, func(b hoist.BlobInfo) error {
		if chosen(b) {
			keys = append(keys, b.Key)
		}
		return nil
	})
	for _, key := range keys {
		if e := w.blobs.Delete(ctx, key); e != nil {
			err = e
		}
	}
	if err != nil && ctx.Err() == nil {
		w.log.Warn("blobs could not be deleted; the collector tries again", "prefix", prefix, "error", err)
	}
}

func (w *Worker) collectForever(ctx context.Context) {
	for wait := time.Minute; ; wait = collectEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if err := w.Collect(ctx, time.Now()); err != nil && ctx.Err() == nil {
			w.log.Warn("collecting garbage", "error", err)
		}
	}
}

// Collect deletes what belongs to no build, slug or app any more. Any number of
// workers may do so at once.
func (w *Worker) Collect(ctx context.Context, now time.Time) error {
	if err := w.db.ForgetUnusedSlugs(ctx, unusedAge); err != nil {
		return err
	}
	for _, kind := range []struct {
		prefix string
		owner  func(key string) string
		alive  func(context.Context, []string) ([]string, error)
	}{
		{"builds/", func(key string) string { return strings.Split(key, "/")[1] }, w.db.UncompiledBuilds},
		{"slugs/", func(key string) string { return key }, w.db.KnownSlugKeys},
		{"caches/", func(key string) string { return strings.TrimSuffix(strings.TrimPrefix(key, "caches/"), ".tar.zst") }, w.db.ExistingApps},
	} {
		var old []hoist.BlobInfo
		err := w.blobs.List(ctx, kind.prefix, func(b hoist.BlobInfo) error {
			if now.Sub(b.ModTime) > orphanAge {
				old = append(old, b)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for batch := range slices.Chunk(old, 500) {
			var owners []string
			for _, b := range batch {
				owners = append(owners, kind.owner(b.Key))
			}
			alive, err := kind.alive(ctx, owners)
			if err != nil {
				return err
			}
			for i, b := range batch {
				if slices.Contains(alive, owners[i]) {
					continue
				}
				if err := w.blobs.Delete(ctx, b.Key); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
