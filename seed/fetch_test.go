package seed

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
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
	y.seed.state.Secrets[hoist.ComponentRuntime+"/blobs"] = "secret"
	y.seed.state.BlobPort = store.Listener.Addr().(*net.TCPAddr).Port
	slug := hoist.Slug{SHA256: next.Slug, Key: "slugs/app/1"}
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
