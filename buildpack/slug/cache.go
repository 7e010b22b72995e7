package slug

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/archive"
)

// CacheLimit is the largest cache of an app, in bytes, compressed. A larger one
// is not kept.
const CacheLimit = 2 << 30

var cacheLimits = archive.Limits{Size: 8 << 30, Files: 2_000_000}

// loadCache unpacks the app's cache. A build never fails for want of one: what
// cannot be read is as good as none.
func loadCache(ctx context.Context, b *buildpack.Build, url string) error {
	if url != "" {
		err := func() error {
			body, err := get(ctx, url)
			if err != nil {
				return err
			}
			defer body.Close()
			return archive.Extract(io.LimitReader(body, CacheLimit), b.CacheDir, cacheLimits)
		}()
		if err != nil && !errors.Is(err, errNotFound) && ctx.Err() == nil {
			b.Out.Warn("The build cache cannot be read and starts empty: %v", err)
			os.RemoveAll(b.CacheDir)
		}
	}
	return os.MkdirAll(b.CacheDir, 0o755)
}

// saveCache stores the app's cache for the next build, if it can.
func saveCache(ctx context.Context, b *buildpack.Build, url, tmp string) {
	if url == "" {
		return
	}
	err := func() error {
		f, err := os.Create(tmp)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := archive.Create(f, b.CacheDir, CacheLimit); err != nil {
			return err
		}
		size, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return put(ctx, url, f, size)
	}()
	if errors.Is(err, archive.ErrTooLarge) {
		b.Out.Warn("The build cache is larger than %s and is not kept.", buildpack.HumanSize(CacheLimit))
	} else if err != nil && ctx.Err() == nil {
		b.Out.Warn("The build cache could not be stored: %v", err)
	}
}
