package seed

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

// A slug comes over a slow line: the loop looks after what runs meanwhile, and says what it waits for.
func TestASlugIsFetchedBesideTheLoop(t *testing.T) {
	y, _ := withEngine(t)
	next := y.proven(t, 1)
	text, err := os.ReadFile(y.slugFile(next.Slug))
	if err != nil || os.Remove(y.slugFile(next.Slug)) != nil {
		t.Fatal(err)
	}
	asked, come := make(chan bool), make(chan bool)
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "9")
		w.Header().Set("ETag", `"`+next.Slug+`"`)
		w.Write(text[:2])
		w.(http.Flusher).Flush()
		close(asked)
		<-come
		w.Write(text[2:])
	}))
	defer store.Close()
	slug := y.storedIn(t, store, next)
	if y.fetched(next, slug) {
		t.Error("it is not there")
	}
	select {
	case <-asked:
	case <-time.After(10 * time.Second):
		t.Fatal(y.fetch.look(t.Context(), y.wake, nil))
	}
	if y.fetched(next, slug) || !strings.Contains(y.cannot["slug"], "of v1 is being fetched") {
		t.Errorf("it is on its way: %v", y.cannot)
	}
	close(come)
	select {
	case <-y.kick: // the loop is told
	case <-time.After(10 * time.Second):
		t.Fatal("nobody is told")
	}
	if !y.fetched(next, slug) || len(y.cannot) > 0 || y.whole(next.Slug) != nil {
		t.Errorf("%v", y.cannot)
	}
}

// storedIn makes a store the seed's, with the slug of a release in it.
func (y *system) storedIn(t *testing.T, store *httptest.Server, d *desired) hoist.Slug {
	t.Helper()
	y.seed.state.Secrets[hoist.ComponentRuntime+"/blobs"] = "secret"
	y.seed.state.BlobPort = store.Listener.Addr().(*net.TCPAddr).Port
	var err error
	if y.seed.slugs, err = y.seed.blobs(hoist.ComponentRuntime, "", ""); err != nil {
		t.Fatal(err)
	}
	return hoist.Slug{SHA256: d.Slug, Key: "slugs/app/1"}
}

// The slug of the platform is damaged, here and in the store: the seed does the work itself at once and
// says what is to be done. Dynos do it again when the slug can be had.
func TestWithoutItsSlugTheSeedDoesTheWork(t *testing.T) {
	y, _ := withEngine(t)
	want := y.proven(t, 1)
	text, err := os.ReadFile(y.slugFile(want.Slug))
	if err != nil {
		t.Fatal(err)
	}
	var mended atomic.Bool
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !mended.Load() {
			w.WriteHeader(hoist.ErrCorrupt.Status)
			fmt.Fprintf(w, `{"id":%q,"message":%q}`, hoist.ErrCorrupt.ID, hoist.ErrCorrupt.Message)
			return
		}
		w.Header().Set("ETag", `"`+want.Slug+`"`)
		w.Write(text)
	}))
	defer store.Close()
	slug := y.storedIn(t, store, want)
	if err := errors.Join(y.open(t.Context()), os.WriteFile(y.slugFile(want.Slug), []byte("rust"), 0o600)); err != nil {
		t.Fatal(err)
	}
	until := func(what string, is func() bool) {
		t.Helper()
		for limit := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("never: %s; %v", what, y.cannot)
			}
		}
	}
	const api = hoist.ComponentAPI
	y.provenAt[api] = time.Now()
	y.adjust(t.Context(), api, want)
	if y.here(want.Slug) || y.inside(api).on() || !strings.Contains(y.cannot[api], "is damaged") {
		t.Errorf("the slug may come from the store: %v", y.cannot)
	}
	until("it cannot be fetched", func() bool { return !y.fetched(want, slug) && y.slugless(want) })
	y.provenAt[api] = time.Now()
	y.adjust(t.Context(), api, want)
	if !y.inside(api).on() {
		t.Error("nobody does the work")
	}
	if !strings.Contains(y.cannot["slug"], "of v1 cannot be fetched: get blob slugs/app/1: The blob is damaged on disk: its checksum is wrong. Push another commit of hoist, or go back with `hoist seed rollback`") {
		t.Errorf("%v", y.cannot)
	}
	mended.Store(true)
	until("it is fetched", func() bool { return y.fetched(want, slug) })
	y.adjust(t.Context(), api, want)
	if len(y.members(api, want)) != 1 || len(y.cannot) > 0 {
		t.Errorf("no dyno is started: %v", y.cannot)
	}
}
