package blob_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
)

// newStore returns a file store's directory and a way to become its users.
func newStore(t *testing.T) (dir string, as func(user string) hoist.Blobs) {
	dir = t.TempDir()
	files, err := blob.NewFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(blob.NewServer(files, map[string]blob.User{
		"all":    {Secret: "s1", Read: []string{""}, Write: []string{""}},
		"reader": {Secret: "s2", Read: []string{"slugs/"}},
		"writer": {Secret: "s3", Write: []string{"slugs/"}},
		"nobody": {Read: []string{""}, Write: []string{""}},
	}, slog.New(slog.NewTextHandler(t.Output(), nil))))
	t.Cleanup(srv.Close)
	secrets := map[string]string{"all": "s1", "reader": "s2", "writer": "s3", "liar": "s1", "nobody": "x"}
	return dir, func(user string) hoist.Blobs {
		u := url.URL{Scheme: "hoist", User: url.UserPassword(user, secrets[user]), Host: strings.TrimPrefix(srv.URL, "http://")}
		b, err := blob.Open(u.String())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func TestFileStore(t *testing.T) {
	testBlobs(t, func(t *testing.T) hoist.Blobs { _, as := newStore(t); return as("all") })
}

func TestADamagedBlobIsNeverServed(t *testing.T) {
	ctx := t.Context()
	content := strings.Repeat("hoist", 100_000)
	for name, damage := range map[string]func(path string) error{
		"a flipped bit": func(path string) error { return patch(path, 4711, 'X') },
		"a wrong sum":   func(path string) error { return patch(path, int64(len(content))+40, 'X') },
		"a lost end":    func(path string) error { return os.Truncate(path, 1000) },
		"nothing left":  func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, as := newStore(t)
			b := as("all")
			if err := b.Put(ctx, "a/b", strings.NewReader(content), -1, 1<<20); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(dir, "blobs/a/b@")); err != nil {
				t.Fatal(err)
			}
			if _, _, err := b.Get(ctx, "a/b"); !errors.Is(err, hoist.ErrCorrupt) {
				t.Error(err)
			}
			u, _ := b.Presign(ctx, http.MethodGet, "a/b", time.Minute, hoist.FromDyno)
			if code, body := do(t, http.MethodGet, u, "", http.Header{"Range": {"bytes=0-9"}}); code != 500 || !strings.Contains(body, "blob_corrupt") {
				t.Error(code, body)
			}
			if err := b.Put(ctx, "a/b", strings.NewReader("new"), -1, 1<<20); err != nil {
				t.Fatal(err)
			}
			if _, _, err := b.Get(ctx, "a/b"); err != nil {
				t.Error(err)
			}
		})
	}
}

func patch(path string, at int64, c byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt([]byte{c}, at)
	return err
}

func TestUsersHaveLeastPrivilege(t *testing.T) {
	ctx := t.Context()
	_, as := newStore(t)
	if err := as("all").Put(ctx, "slugs/a", strings.NewReader("x"), 1, 1); err != nil {
		t.Fatal(err)
	}
	if err := as("all").Put(ctx, "packs/a", strings.NewReader("x"), 1, 1); err != nil {
		t.Fatal(err)
	}
	try := map[string]func(b hoist.Blobs, key string) error{
		"get": func(b hoist.Blobs, key string) error {
			r, _, err := b.Get(ctx, key)
			if err == nil {
				r.Close()
			}
			return err
		},
		"put":    func(b hoist.Blobs, key string) error { return b.Put(ctx, key, strings.NewReader("x"), 1, 1) },
		"delete": func(b hoist.Blobs, key string) error { return b.Delete(ctx, key+"-none") },
		"list": func(b hoist.Blobs, key string) error {
			return b.List(ctx, key[:6], func(hoist.BlobInfo) error { return nil })
		},
	}
	for _, c := range []struct {
		user, key string
		may       string
	}{
		{"all", "slugs/a", "get put delete list"},
		{"reader", "slugs/a", "get list"},
		{"reader", "packs/a", ""},
		{"writer", "slugs/a", "put delete"},
		{"liar", "slugs/a", ""},
		{"nobody", "slugs/a", ""},
	} {
		for name, f := range try {
			if err := f(as(c.user), c.key); (err == nil) != strings.Contains(c.may, name) {
				t.Errorf("%s: %s %s: %v", c.user, name, c.key, err)
			}
		}
	}
}

func TestASignedUploadIsBounded(t *testing.T) {
	_, as := newStore(t)
	u, err := as("all").Presign(t.Context(), http.MethodPut, "a", time.Minute, hoist.FromDyno)
	if err != nil {
		t.Fatal(err)
	}
	if code, body := do(t, http.MethodPut, strings.Replace(u, "limit=", "limit=9", 1), "x", nil); code != 403 {
		t.Error(code, body)
	}
	if code, body := do(t, http.MethodPut, strings.Replace(u, "user=all", "user=reader", 1), "x", nil); code != 403 {
		t.Error(code, body)
	}
}

func TestAFullDiskIsSaid(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("cannot mount a small tmpfs:", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	files, err := blob.NewFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(blob.NewServer(files, map[string]blob.User{"u": {Secret: "s", Read: []string{""}, Write: []string{""}}},
		slog.New(slog.NewTextHandler(t.Output(), nil))))
	defer srv.Close()
	b, err := blob.Open("hoist://u:s@" + strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	err = b.Put(t.Context(), "a", io.LimitReader(zeros{}, 3<<20), 3<<20, 10<<20)
	if !errors.Is(err, blob.ErrFull) {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) > 0 {
		t.Error("a broken upload was left behind")
	}
	if err := b.Put(t.Context(), "a", strings.NewReader("small"), 5, 10); err != nil {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAClientWaitsForItsStore(t *testing.T) {
	files, err := blob.NewFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(blob.NewServer(files, map[string]blob.User{"u": {Secret: "s", Write: []string{""}}},
		slog.New(slog.NewTextHandler(t.Output(), nil))))
	addr := srv.Listener.Addr().String()
	srv.Listener.Close()
	b, err := blob.Open("hoist://u:s@" + addr)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- b.Put(t.Context(), "a", strings.NewReader("x"), 1, 1) }()
	time.Sleep(500 * time.Millisecond)
	again, err := listen(addr)
	if err != nil {
		t.Skip("the port was taken meanwhile:", err)
	}
	srv.Listener = again
	srv.Start()
	defer srv.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWrongURLsAreErrorsThatHideTheSecret(t *testing.T) {
	for _, u := range []string{"", "hoist://", "hoist://u@h:1", "http://u:hidden@h", "s3://k:hidden@h", "s3://k:hidden@h/a/b",
		"hoist://u:hidden@h:1?dyno=x", "s3://k:hidden@h/b?public=x", "hoist://u:hidden@h:1%zz"} {
		if _, err := blob.Open(u); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func FuzzKey(f *testing.F) {
	for _, key := range []string{"a", "a/b", "../a", "a/./b", "a\x00b", "..", "a@", "A/-_.z"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if blob.CheckKey(key) != nil {
			return
		}
		if !filepath.IsLocal(key) || filepath.Clean(key) != key || strings.ContainsAny(key, "@\x00\\ ") {
			t.Errorf("%q is no key", key)
		}
	})
}

func FuzzServer(f *testing.F) {
	dir := f.TempDir()
	files, err := blob.NewFiles(dir)
	if err != nil {
		f.Fatal(err)
	}
	srv := blob.NewServer(files, map[string]blob.User{"u": {Secret: "s", Read: []string{""}, Write: []string{""}}}, slog.New(slog.DiscardHandler))
	f.Add("GET", "/a?user=u&expires=99999999999&sig=00")
	f.Add("PUT", "/../a?user=u&expires=99999999999&limit=-1&sig=")
	f.Add("GET", "/?list=a&expires=x")
	f.Fuzz(func(t *testing.T, method, target string) {
		u, err := url.Parse(target)
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, &http.Request{Method: method, URL: u, Body: http.NoBody, Header: http.Header{}})
		if w.Code < 400 {
			t.Errorf("%s %s passed without a signature: %d", method, target, w.Code)
		}
	})
}
