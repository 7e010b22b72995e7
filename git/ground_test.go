package git_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
)

// memBus is a bus within the test, until the real one is there.
type memBus struct {
	mu      sync.Mutex
	streams map[string][]hoist.Message
	tails   map[string][]chan struct{}
	bells   map[string][]func(string, []byte)
}

func newMemBus() *memBus {
	return &memBus{streams: map[string][]hoist.Message{}, tails: map[string][]chan struct{}{}, bells: map[string][]func(string, []byte){}}
}

func (b *memBus) Ring(subject string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.bells[subject] {
		go f(subject, data)
	}
}

func (b *memBus) Listen(ctx context.Context, subject string, f func(string, []byte)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bells[subject] = append(b.bells[subject], f)
	return nil
}

func (b *memBus) Append(subject string, data []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams[subject] = append(b.streams[subject], hoist.Message{Data: data})
	for _, c := range b.tails[subject] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	return true
}

func (b *memBus) Flush(context.Context) error { return nil }

func (b *memBus) Tail(ctx context.Context, subject string, last int, follow bool) (<-chan hoist.Message, error) {
	wake, out := make(chan struct{}, 1), make(chan hoist.Message)
	b.mu.Lock()
	b.tails[subject] = append(b.tails[subject], wake)
	b.mu.Unlock()
	go func() {
		defer close(out)
		for n := 0; ; {
			b.mu.Lock()
			list := b.streams[subject][n:]
			b.mu.Unlock()
			for _, m := range list {
				select {
				case out <- m:
					n++
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-wake:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// dirBlobs is a blob store within the test, until the real one is there.
type dirBlobs string

func (d dirBlobs) path(key string) string { return filepath.Join(string(d), key) }

func (d dirBlobs) Put(_ context.Context, key string, r io.Reader, size, limit int64) error {
	os.MkdirAll(filepath.Dir(d.path(key)), 0o700)
	f, err := os.CreateTemp(string(d), "tmp")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	return os.Rename(f.Name(), d.path(key))
}

func (d dirBlobs) Get(_ context.Context, key string) (io.ReadCloser, hoist.BlobInfo, error) {
	f, err := os.Open(d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hoist.BlobInfo{}, hoist.ErrNotFound
	}
	return f, hoist.BlobInfo{Key: key}, err
}

func (d dirBlobs) Stat(_ context.Context, key string) (hoist.BlobInfo, error) {
	info, err := os.Stat(d.path(key))
	if err != nil {
		return hoist.BlobInfo{}, hoist.ErrNotFound
	}
	return hoist.BlobInfo{Key: key, Size: info.Size(), ModTime: info.ModTime()}, nil
}

func (d dirBlobs) Delete(_ context.Context, key string) error {
	os.Remove(d.path(key))
	return nil
}

func (d dirBlobs) List(ctx context.Context, prefix string, f func(hoist.BlobInfo) error) error {
	return filepath.WalkDir(string(d), func(path string, e fs.DirEntry, err error) error {
		key := strings.TrimPrefix(path, string(d)+"/")
		if err != nil || e.IsDir() || !strings.HasPrefix(key, prefix) {
			return err
		}
		info, err := d.Stat(ctx, key)
		if err != nil {
			return err
		}
		return f(info)
	})
}

func (d dirBlobs) Presign(context.Context, string, string, time.Duration, hoist.Viewpoint) (string, error) {
	return "", errors.New("no")
}
