package compile

import (
	"context"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/buildpack/slug"
)

// sweep deletes what only this claim used, and if it was the last one what
// only the build did. What a crash leaves behind the platform's collector finds.
func (j *job) sweep(ctx context.Context) {
	prefix := j.prefix()
	if j.settled {
		prefix = buildPrefix(j.build.ID)
	}
	var keys []string
	err := j.blobs.List(ctx, prefix, func(b hoist.BlobInfo) error {
		keys = append(keys, b.Key)
		return nil
	})
	// The dyno may store as much as it likes under its URLs.
	for _, key := range []string{CacheKey(j.build.AppID), changesKey(j.build.AppID)} {
		if info, e := j.blobs.Stat(ctx, key); e == nil && info.Size > slug.CacheLimit {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		if e := j.blobs.Delete(ctx, key); e != nil {
			err = e
		}
	}
	if err != nil {
		j.log.Warn("blobs of a build could not be deleted", "build", j.build.ID, "error", err)
	}
}
