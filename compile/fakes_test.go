package compile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

// memoryBus stands in for NATS.
type memoryBus struct {
	mu        sync.Mutex
	listeners []listener
	streams   map[string][]string
	deaf      bool // loses every bell
}

type listener struct {
	ctx     context.Context
	pattern string
	bells   chan string
}

func newBus() *memoryBus { return &memoryBus{streams: map[string][]string{}} }

func (b *memoryBus) Ring(subject string, _ []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.listeners {
		if ok, _ := path.Match(l.pattern, subject); ok && !b.deaf {
			select {
			case l.bells <- subject:
			default:
			}
		}
	}
}

func (b *memoryBus) Listen(ctx context.Context, pattern string, f func(string, []byte)) error {
	l := listener{ctx, pattern, make(chan string, 100)}
	b.mu.Lock()
	b.listeners = append(b.listeners, l)
	b.mu.Unlock()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-l.bells:
				f(s, nil)
			}
		}
	}()
	return nil
}

func (b *memoryBus) Append(subject string, data []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams[subject] = append(b.streams[subject], string(data))
	return true
}

func (b *memoryBus) Flush(context.Context) error { return nil }

func (b *memoryBus) Tail(context.Context, string, int, bool) (<-chan hoist.Message, error) {
	panic("compile does not read streams")
}

// output is a build's stream: its text, and how it ended.
func (b *memoryBus) output(id hoist.ID) (text string, end hoist.BuildState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.streams[hoist.StreamBuilds+id] {
		var c hoist.BuildChunk
		json.Unmarshal([]byte(m), &c)
		text += c.Text
		if c.End != "" {
			end = c.End
		}
	}
	return text, end
}

func (b *memoryBus) logs(app hoist.ID) (lines []hoist.LogLine) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.streams[hoist.StreamLogs+app] {
		var l hoist.LogLine
		json.Unmarshal([]byte(m), &l)
		lines = append(lines, l)
	}
	return lines
}

// memoryBlobs stands in for the blob store, presigned URLs included.
type memoryBlobs struct {
	server *httptest.Server
	mu     sync.Mutex
	blobs  map[string]memoryBlob
}

type memoryBlob struct {
	data []byte
	at   time.Time
}

func newBlobs(t *testing.T) *memoryBlobs {
	b := &memoryBlobs{blobs: map[string]memoryBlob{}}
	b.server = httptest.NewServer(b)
	t.Cleanup(b.server.Close)
	return b
}

func (b *memoryBlobs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	if r.URL.Query().Get("method") != r.Method {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if r.Method == http.MethodPut {
		b.Put(r.Context(), key, r.Body, r.ContentLength, 1<<30)
		return
	}
	body, _, err := b.Get(r.Context(), key)
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	io.Copy(w, body)
}

func (b *memoryBlobs) Presign(_ context.Context, method, key string, _ time.Duration, _ hoist.Viewpoint) (string, error) {
	return b.server.URL + "/" + key + "?method=" + method, nil
}

func (b *memoryBlobs) Put(_ context.Context, key string, r io.Reader, _, _ int64) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.blobs[key] = memoryBlob{data, time.Now()}
	return nil
}

func (b *memoryBlobs) Get(_ context.Context, key string) (io.ReadCloser, hoist.BlobInfo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	blob, ok := b.blobs[key]
	if !ok {
		return nil, hoist.BlobInfo{}, hoist.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(blob.data)), hoist.BlobInfo{Key: key, Size: int64(len(blob.data)), ModTime: blob.at}, nil
}

func (b *memoryBlobs) Stat(ctx context.Context, key string) (hoist.BlobInfo, error) {
	_, info, err := b.Get(ctx, key)
	return info, err
}

func (b *memoryBlobs) Delete(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.blobs, key)
	return nil
}

func (b *memoryBlobs) List(_ context.Context, prefix string, f func(hoist.BlobInfo) error) error {
	b.mu.Lock()
	var infos []hoist.BlobInfo
	for key, blob := range b.blobs {
		if strings.HasPrefix(key, prefix) {
			infos = append(infos, hoist.BlobInfo{Key: key, Size: int64(len(blob.data)), ModTime: blob.at})
		}
	}
	b.mu.Unlock()
	slices.SortFunc(infos, func(a, b hoist.BlobInfo) int { return strings.Compare(a.Key, b.Key) })
	for _, i := range infos {
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

func (b *memoryBlobs) keys() (keys []string) {
	b.List(context.Background(), "", func(i hoist.BlobInfo) error { keys = append(keys, i.Key); return nil })
	return keys
}
