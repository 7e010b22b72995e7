package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/blob"
	"github.com/hoist-sh/hoist/blob/blobtest"
	"github.com/hoist-sh/hoist/nats"
)

// One part of the ground is missing for good, or a slug is damaged: the rest serves, and
// `hoist seed status` says what is missing and why. (The database: TestOutOfBand. All from cold, and the clock: TestSelfColdStart.)
func TestMissingParts(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	server, err := nats.StartServer(nats.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", Users: map[string]string{"seed": "secret"}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	busHost := strings.TrimPrefix(server.URL("seed"), "nats://seed:secret@")
	bus := newWire(t, busHost)
	w := newFaultWorld(t, 2, "NATS_URL=nats://seed:secret@"+bus.addr())
	scales := func(t *testing.T, a *faultApp) {
		t.Helper()
		if err := errors.Join(a.scale("web", 3-a.webs()), eventually(30*time.Second, a.serving)); err != nil {
			t.Error(err)
		}
	}
	ready := func() error {
		st, err := w.status()
		if err == nil && !st.Ready {
			err = fmt.Errorf("waits for %v", st.WaitsFor)
		}
		return err
	}

	t.Run("bus", func(t *testing.T) {
		bus.set(wireCut)
		w.statusSays(t, "logs waiting waits for the bus (it does not answer)", "router up without the bus (it does not answer): it reads the routes every 3 s",
			"runtime up without the bus")
		scales(t, w.apps[0])
		bus.set(wireWhole)
		if err := eventually(30*time.Second, ready); err != nil {
			t.Error(err)
		}
	})

	blobs := w.ownBlobs(t)
	t.Run("blobs", func(t *testing.T) {
		blobs.set(wireCut)
		w.statusSays(t, "compile waiting waits for the blobs (", "runtime up without the blobs (", "api up without the blobs (", "those on local disk are started")
		scales(t, w.apps[0])
	})
	t.Run("a damaged slug", func(t *testing.T) {
		app := w.apps[1]
		var slug []struct{ ID, Key string }
		if err := w.query(&slug, `SELECT s.id, s.blob_key AS key FROM apps a JOIN releases r ON r.id = a.current_release_id JOIN slugs s ON s.id = r.slug_id
			WHERE a.name = $1`, app.Name); err != nil || len(slug) != 1 {
			t.Fatal(slug, err)
		}
		file := filepath.Join(w.Dir, "runtime/slugs", slug[0].ID+".squashfs")
		if err := errors.Join(os.Remove(file), os.WriteFile(file, []byte("rust"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := w.call("DELETE", "/apps/"+app.Name+"/dynos", w.Token, nil, nil); err != nil {
			t.Fatal(err)
		}
		w.statusSays(t, app.Name+" web.1: R99 (Platform error): its slug on this machine was damaged; it is fetched again")
		if err := w.apps[0].serving(); err != nil {
			t.Error(err)
		}
		// The stored one is damaged, too. (Deployed again: TestSelfColdStart. From dynos this store cannot be reached.)
		damage := func() {
			if err := blobtest.DamageFile(filepath.Join(w.Dir, "blobs"), slug[0].Key); err != nil {
				t.Fatal(err)
			}
		}
		damage()
		blobs.set(wireWhole)
		w.statusSays(t, app.Name+" web.1: "+slugDamaged)
		if err := errors.Join(app.saysDamaged(), w.apps[0].serving(), eventually(time.Minute, ready)); err != nil {
			t.Error(err)
		}
		damage() // done twice, nothing is damaged
		if err := errors.Join(eventually(2*time.Minute, w.nothingDoubled), app.serving()); err != nil {
			t.Errorf("with the slug again: %v", err)
		}
	})
}

// slugDamaged is said of a dyno whose slug is damaged here and in the blob store.
const slugDamaged = "R99 (Platform error): slug: the stored slug is damaged; deploy again"

// saysDamaged waits until people are told of it.
func (a *faultApp) saysDamaged() error {
	return eventually(time.Minute, func() error { // it is tried again and again, and starting then
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		out, err := a.cli(ctx, "ps").CombinedOutput()
		if err == nil && !has(string(out), "web.1: crashed "+slugDamaged) {
			err = errors.New("it does not say what is wrong")
		}
		if err != nil {
			err = fmt.Errorf("hoist ps -a %s: %w\n%s", a.Name, err, out)
		}
		return err
	})
}

// statusSays waits until `hoist seed status` says all of it.
func (p *platform) statusSays(t *testing.T, lines ...string) {
	t.Helper()
	if err := eventually(90*time.Second, func() error {
		out, err := p.hoist("seed", "status")
		for _, want := range lines {
			if err == nil && !has(out, want) {
				err = fmt.Errorf("status does not say %q:\n%s", want, out)
			}
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// has reports whether the words of want follow each other in a line of text, with others between
// the columns of a table.
func has(text, want string) bool {
	for line := range strings.Lines(text) {
		rest, found := line, true
		for _, word := range strings.Fields(want) {
			i := strings.Index(rest, word)
			if i < 0 {
				found = false
				break
			}
			rest = rest[i+len(word):]
		}
		if found {
			return true
		}
	}
	return false
}

// ownBlobs starts the seed again with its blobs in a store outside it, behind a wire.
func (w *faultWorld) ownBlobs(t *testing.T) *wire {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.Dir, "seed.json"))
	if err != nil {
		t.Fatal(err)
	}
	var state struct{ Secrets map[string]string }
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	if _, err := w.hoist("seed", "stop"); err != nil {
		t.Fatal(err)
	}
	files, err := blob.NewFiles(filepath.Join(w.Dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	secret := state.Secrets["api/blobs"]
	store := httptest.NewServer(blob.NewServer(files, blob.Users(map[string]string{"api": secret}), slog.New(slog.NewTextHandler(io.Discard, nil))))
	t.Cleanup(store.Close)
	between := newWire(t, strings.TrimPrefix(store.URL, "http://"))
	w.settings = append(w.settings, fmt.Sprintf("BLOB_URL=hoist://api:%s@%s", secret, between.addr()))
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	return between
}
