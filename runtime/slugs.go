package runtime

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
)

// errSlugLost is final: no waiting brings the slug back.
var errSlugLost = errors.New("deploy again")

// lost is the error of a fetch that will never succeed, for people; others are as they were.
func lost(err error) error {
	switch {
	case errors.Is(err, hoist.ErrCorrupt):
		return fmt.Errorf("the stored slug is damaged; %w", errSlugLost)
	case errors.Is(err, hoist.ErrNotFound):
		return fmt.Errorf("the stored slug is gone; %w", errSlugLost)
	}
	return err
}

// slugCache keeps slugs of the blob store as local files, limit bytes of them;
// those not used for longest go first, those in use never.
type slugCache struct {
	dir   string
	limit int64 // bytes
	blobs hoist.Blobs

	mu   sync.Mutex
	busy map[string]chan struct{} // being fetched; closed at the end
	used map[string]int           // dynos that use the file
}

const (
	slugSuffix  = ".squashfs"
	fetchPrefix = "fetch-"
)

// open makes the directory and removes what was half fetched.
func (c *slugCache) open() error {
	c.busy, c.used = map[string]chan struct{}{}, map[string]int{}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("slugs: %w", err)
	}
	half, _ := filepath.Glob(filepath.Join(c.dir, fetchPrefix+"*"))
	for _, name := range half {
		os.Remove(name)
	}
	return nil
}

// get returns a slug's file, and release to be called when it is not needed.
// Several callers fetch it once.
func (c *slugCache) get(ctx context.Context, slug hoist.Slug) (path string, release func(), err error) {
	path = filepath.Join(c.dir, slug.ID+slugSuffix)
	c.mu.Lock()
	for c.busy[path] != nil {
		other := c.busy[path]
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return "", nil, ctx.Err()
		}
		c.mu.Lock()
	}
	fetched := make(chan struct{})
	c.busy[path] = fetched
	c.used[path]++
	c.mu.Unlock()

	err = c.fetch(ctx, slug, path)

	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, path)
	close(fetched)
	if err != nil {
		c.unuse(path)
		return "", nil, err
	}
	return path, sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.unuse(path)
	}), nil
}

func (c *slugCache) unuse(path string) {
	if c.used[path]--; c.used[path] == 0 {
		delete(c.used, path)
	}
}

// fetch makes sure that the file is there, whole.
func (c *slugCache) fetch(ctx context.Context, slug hoist.Slug, path string) error {
	if _, err := os.Stat(path); err == nil { // renamed when complete and on disk
		now := time.Now()
		return os.Chtimes(path, now, now)
	}
	r, _, err := c.blobs.Get(ctx, slug.Key)
	if err != nil {
		return lost(err)
	}
	defer r.Close()
	f, err := os.CreateTemp(c.dir, fetchPrefix)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(r, hoist.SlugLimit+1))
	if err == nil && (n > hoist.SlugLimit || slug.SHA256 != "" && hex.EncodeToString(sum.Sum(nil)) != slug.SHA256) {
		err = hoist.ErrCorrupt
	}
	if err != nil {
		return lost(err)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	c.collect()
	return nil
}

// collect removes the files not used for longest until the rest is within the
// limit. What cannot be removed now is tried again after the next fetch.
func (c *slugCache) collect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	type file struct {
		path string
		size int64
		used time.Time
	}
	var files []file
	var total int64
	entries, _ := os.ReadDir(c.dir)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasSuffix(e.Name(), slugSuffix) {
			continue
		}
		total += info.Size()
		files = append(files, file{filepath.Join(c.dir, e.Name()), info.Size(), info.ModTime()})
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(a.used.Compare(b.used), strings.Compare(a.path, b.path)) })
	for _, f := range files {
		if total <= c.limit {
			return
		}
		if c.used[f.path] == 0 && os.Remove(f.path) == nil {
			total -= f.size
		}
	}
}
