package blob_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hoist-sh/hoist"
)

// testBlobs is what every store must do.
func testBlobs(t *testing.T, open func(t *testing.T) hoist.Blobs) {
	const limit = 64 << 20
	ctx := t.Context()
	put := func(t *testing.T, b hoist.Blobs, key, content string) {
		t.Helper()
		if err := b.Put(ctx, key, strings.NewReader(content), int64(len(content)), limit); err != nil {
			t.Fatal(err)
		}
	}
	get := func(t *testing.T, b hoist.Blobs, key string) string {
		t.Helper()
		r, info, err := b.Get(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if info.Key != key || info.Size != int64(len(content)) || time.Since(info.ModTime).Abs() > time.Hour {
			t.Errorf("info %+v for %d bytes", info, len(content))
		}
		return string(content)
	}

	t.Run("what was put is got", func(t *testing.T) {
		b := open(t)
		put(t, b, "a/b/c.tar.gz", "first")
		put(t, b, "a/b/c.tar.gz", "second, longer")
		put(t, b, "empty", "")
		if got := get(t, b, "a/b/c.tar.gz"); got != "second, longer" {
			t.Error(got)
		}
		if got := get(t, b, "empty"); got != "" {
			t.Error(got)
		}
		if info, err := b.Stat(ctx, "a/b/c.tar.gz"); err != nil || info.Size != 14 || info.ModTime.IsZero() {
			t.Errorf("%+v %v", info, err)
		}
	})
	t.Run("the length need not be known", func(t *testing.T) {
		b := open(t)
		content := make([]byte, 33<<20) // several parts on S3
		rand.Read(content)
		if err := b.Put(ctx, "big", bytes.NewReader(content), -1, limit); err != nil {
			t.Fatal(err)
		}
		if get(t, b, "big") != string(content) {
			t.Error("other bytes came back")
		}
	})
	t.Run("what is not there is not found", func(t *testing.T) {
		b := open(t)
		if _, _, err := b.Get(ctx, "no/such"); !errors.Is(err, hoist.ErrNotFound) {
			t.Error("get:", err)
		}
		if _, err := b.Stat(ctx, "no/such"); !errors.Is(err, hoist.ErrNotFound) {
			t.Error("stat:", err)
		}
		if err := b.Delete(ctx, "no/such"); err != nil {
			t.Error("delete:", err)
		}
	})
	t.Run("what was deleted is gone", func(t *testing.T) {
		b := open(t)
		put(t, b, "x/y/z", "1")
		put(t, b, "x/y2", "2")
		if err := b.Delete(ctx, "x/y/z"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Stat(ctx, "x/y/z"); !errors.Is(err, hoist.ErrNotFound) {
			t.Error(err)
		}
		if got := get(t, b, "x/y2"); got != "2" {
			t.Error(got)
		}
	})
	t.Run("too much is refused and leaves nothing", func(t *testing.T) {
		b := open(t)
		put(t, b, "kept", "old")
		for _, size := range []int64{11, -1} {
			for _, key := range []string{"kept", "new"} {
				err := b.Put(ctx, key, strings.NewReader("hello world"), size, 10)
				if e, ok := hoist.AsError(err); !ok || e.ID != "too_large" {
					t.Errorf("size %d: %v", size, err)
				}
			}
		}
		if got := get(t, b, "kept"); got != "old" {
			t.Error(got)
		}
		if _, err := b.Stat(ctx, "new"); !errors.Is(err, hoist.ErrNotFound) {
			t.Error(err)
		}
		if err := b.Put(ctx, "new", strings.NewReader("0123456789"), -1, 10); err != nil {
			t.Error(err)
		}
	})
	t.Run("a broken upload leaves what was there", func(t *testing.T) {
		b := open(t)
		put(t, b, "kept", "old")
		broken := errors.New("the cable is out")
		for _, size := range []int64{-1, 1 << 20} {
			r := io.MultiReader(strings.NewReader("half of it"), iotest.ErrReader(broken))
			if err := b.Put(ctx, "kept", r, size, limit); !errors.Is(err, broken) {
				t.Errorf("size %d: %v", size, err)
			}
		}
		if err := b.Put(ctx, "kept", strings.NewReader("short"), 1000, limit); err == nil {
			t.Error("5 bytes passed for 1000")
		}
		if got := get(t, b, "kept"); got != "old" {
			t.Error(got)
		}
	})
	t.Run("keys that are none are refused", func(t *testing.T) {
		b := open(t)
		for _, key := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a b", "ä", "a\x00", strings.Repeat("a/", 300) + "a"} {
			if err := b.Put(ctx, key, strings.NewReader("x"), 1, 1); err == nil {
				t.Errorf("put %q", key)
			}
			if _, _, err := b.Get(ctx, key); err == nil {
				t.Errorf("get %q", key)
			}
			if err := b.Delete(ctx, key); err == nil {
				t.Errorf("delete %q", key)
			}
			if _, err := b.Presign(ctx, http.MethodGet, key, time.Minute, hoist.FromDyno); err == nil {
				t.Errorf("presign %q", key)
			}
		}
	})
	t.Run("a listing is whole and in order", func(t *testing.T) {
		b := open(t)
		want := []string{"l/a-b", "l/a.b", "l/a/1", "l/a/2/3", "l/aa", "l/b"}
		for _, key := range append(slices.Clone(want), "m/a", "la") {
			put(t, b, key, key)
		}
		list := func(prefix string) (keys []string) {
			if err := b.List(ctx, prefix, func(info hoist.BlobInfo) error {
				if info.Size != int64(len(info.Key)) {
					t.Errorf("%+v", info)
				}
				keys = append(keys, info.Key)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return keys
		}
		if got := list("l/"); !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
		if got := list("l/a/"); !slices.Equal(got, []string{"l/a/1", "l/a/2/3"}) {
			t.Errorf("%v", got)
		}
		if got := list("l/a"); !slices.Equal(got, want[:5]) {
			t.Errorf("%v", got)
		}
		if got := list("none/"); got != nil {
			t.Errorf("%v", got)
		}
		enough := errors.New("enough")
		if err := b.List(ctx, "l/", func(hoist.BlobInfo) error { return enough }); !errors.Is(err, enough) {
			t.Error(err)
		}
	})
	t.Run("a signed URL does what it says, and nothing else", func(t *testing.T) {
		b := open(t)
		putURL, err := b.Presign(ctx, http.MethodPut, "signed/a", time.Minute, hoist.FromPublic)
		if err != nil {
			t.Fatal(err)
		}
		if code, body := do(t, http.MethodPut, putURL, "content", nil); code/100 != 2 {
			t.Fatalf("put: %d %s", code, body)
		}
		getURL, err := b.Presign(ctx, http.MethodGet, "signed/a", time.Minute, hoist.FromDyno)
		if err != nil {
			t.Fatal(err)
		}
		if code, body := do(t, http.MethodGet, getURL, "", nil); code != 200 || body != "content" {
			t.Errorf("get: %d %s", code, body)
		}
		if code, body := do(t, http.MethodGet, getURL, "", http.Header{"Range": {"bytes=3-4"}}); code != 206 || body != "te" {
			t.Errorf("range: %d %s", code, body)
		}
		for name, c := range map[string]struct{ method, url string }{
			"get by a PUT":    {http.MethodGet, putURL},
			"put by a GET":    {http.MethodPut, getURL},
			"delete by a GET": {http.MethodDelete, getURL},
			"another key":     {http.MethodGet, strings.Replace(getURL, "signed/a", "signed/b", 1)},
		} {
			if code, body := do(t, c.method, c.url, "evil", nil); code/100 == 2 {
				t.Errorf("%s: %d %s", name, code, body)
			}
		}
		if got := get(t, b, "signed/a"); got != "content" {
			t.Error(got)
		}
		short, err := b.Presign(ctx, http.MethodGet, "signed/a", time.Second, hoist.FromDyno)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2100 * time.Millisecond)
		if code, _ := do(t, http.MethodGet, short, "", nil); code/100 == 2 {
			t.Error("an expired URL works")
		}
	})
	t.Run("the ETag of a signed URL tells one content from another", func(t *testing.T) {
		b := open(t)
		tag := func(content string) string {
			put(t, b, "tagged", content)
			url, err := b.Presign(ctx, http.MethodGet, "tagged", time.Minute, hoist.FromDyno)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.Header.Get("ETag")
		}
		one, other := tag("one content"), tag("two content")
		if one == "" || other == "" || one == other {
			t.Errorf("%q and %q", one, other)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		b := open(t)
		errs := make(chan error)
		for i := range 16 {
			go func() {
				content := strings.Repeat(string(rune('a'+i)), 100_000)
				errs <- b.Put(ctx, "same", strings.NewReader(content), int64(len(content)), limit)
			}()
		}
		for range 16 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if got := get(t, b, "same"); got != strings.Repeat(got[:1], 100_000) {
			t.Error("two uploads were mixed")
		}
	})
	t.Run("a cancelled call ends", func(t *testing.T) {
		b := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		r := readerFunc(func(p []byte) (int, error) {
			time.Sleep(time.Millisecond)
			return len(p), nil
		})
		time.AfterFunc(100*time.Millisecond, cancel)
		if err := b.Put(ctx, "slow", r, -1, 1<<40); err == nil {
			t.Error("stored")
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func do(t *testing.T, method, url, body string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got)
}
