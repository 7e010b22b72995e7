package slug

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/archive"
)

// CacheLimit is the largest cache of an app, in bytes, compressed: what can be
// stored. In place of a larger one an empty one is, so that it does not grow for ever.
const CacheLimit = hoist.PresignedLimit

// cacheLimit is CacheLimit, or less in a test.
var cacheLimit int64 = CacheLimit

var cacheLimits = archive.Limits{Size: 8 << 30, Files: 2_000_000}

// changesShare is the part of a cache that may differ from the stored whole.
// What has changed is stored again with each build until the whole is, and what the
// whole has too much is fetched.
const changesShare = 4

// cacheURLs are where an app's cache is: the whole one, and what has changed since
// that was stored. So a build after a changed line stores little.
type cacheURLs struct{ get, put, getChanges, putChanges string }

// cache is an app's cache in a build. What was stored is known so that only
// changes need to be stored, and nothing if there are none.
type cache struct {
	*buildpack.Build
	urls cacheURLs
	tag  string           // the ETag of the stored whole; empty if there is none to build on
	base archive.Snapshot // the whole as it is stored
	held archive.Snapshot // with the stored changes
}

// loadCache unpacks the app's cache. A build never fails for want of one: what
// cannot be read is as good as none.
func loadCache(ctx context.Context, b *buildpack.Build, urls cacheURLs) (*cache, error) {
	c := &cache{Build: b, urls: urls}
	const broken = "The build cache cannot be read and starts empty"
	if urls.get != "" && c.load(ctx, broken, c.loadWhole) && c.tag != "" && urls.getChanges != "" {
		if !c.load(ctx, "What has changed in the build cache cannot be read and is forgotten", c.loadChanges) {
			c.load(ctx, broken, c.loadWhole) // half of the changes may have been there
			c.held = nil                     // so they are replaced
		}
	}
	return c, os.MkdirAll(b.CacheDir, 0o755)
}

// load calls f. If that fails the cache is as good as none.
func (c *cache) load(ctx context.Context, trouble string, f func(context.Context) error) bool {
	err := f(ctx)
	if err == nil {
		return true
	}
	if !errors.Is(err, errNotFound) && ctx.Err() == nil {
		c.Out.Warn("%s: %v", trouble, err)
	}
	os.RemoveAll(c.CacheDir)
	c.tag, c.base, c.held = "", nil, nil
	return false
}

func (c *cache) loadWhole(ctx context.Context) error {
	body, tag, err := open(ctx, c.urls.get)
	if err != nil {
		return err
	}
	defer body.Close()
	c.base, err = archive.ExtractSnapshot(io.LimitReader(body, cacheLimit), c.CacheDir, cacheLimits)
	c.tag, c.held = tag, c.base
	return err
}

func (c *cache) loadChanges(ctx context.Context) error {
	body, _, err := open(ctx, c.urls.getChanges)
	if errors.Is(err, errNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer body.Close()
	rest := archive.Limits{Size: cacheLimits.Size - c.base.Size(), Files: cacheLimits.Files - len(c.base)}
	held, err := archive.ExtractChanges(io.LimitReader(body, cacheLimit), c.CacheDir, c.tag, c.base, rest)
	if errors.Is(err, archive.ErrOtherBase) {
		return nil // the whole was stored since
	}
	c.held = held
	return err
}

// save stores the app's cache for the next build, if it can. Whatever is read
// there later belongs together: each of the two is replaced at once, and changes name
// the whole that they are made to.
func (c *cache) save(ctx context.Context, tmp string) {
	if c.urls.put == "" {
		return
	}
	err := c.store(ctx, tmp)
	if errors.Is(err, archive.ErrTooLarge) {
		c.Out.Warn("The build cache is larger than %s; the next build starts with an empty one.", buildpack.HumanSize(cacheLimit))
		if err = emptied(c.CacheDir); err == nil {
			err = c.store(ctx, tmp)
		}
	}
	if err != nil && ctx.Err() == nil {
		c.Out.Warn("The build cache could not be stored: %v", err)
	}
}

func (c *cache) store(ctx context.Context, tmp string) error {
	now, err := archive.Take(c.CacheDir)
	if err != nil || c.tag != "" && maps.Equal(now, c.held) {
		return err
	}
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	defer f.Close()
	url := c.urls.put
	changes := c.base.ChangesTo(now)
	if c.tag != "" && c.urls.putChanges != "" && changes.Size() <= c.base.Size()/changesShare {
		url = c.urls.putChanges
		err = archive.CreateChanges(f, c.CacheDir, changes, c.tag, cacheLimit)
	} else {
		err = archive.Create(f, c.CacheDir, cacheLimit)
	}
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	return put(ctx, url, f, size)
}

func emptied(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o755)
}
