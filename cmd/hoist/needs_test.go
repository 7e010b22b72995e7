package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/circles"
	"github.com/hoist-sh/hoist/oci"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
	"github.com/hoist-sh/hoist/seed"
)

// The runtime is built in a mount namespace of its own.
func TestMain(m *testing.M) {
	if os.Geteuid() == 0 {
		if err := oci.Isolate(); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// wired builds a component exactly as it is built to run, with a ground where
// nobody answers, and returns what it asked for.
func wired(t *testing.T, c component) []hoist.Need {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	g, err := newGround(t.Context(), c.name, []string{
		"DATABASE_URL=postgres://nobody@127.0.0.1:1/none", "NATS_URL=nats://nobody@127.0.0.1:1", "BLOB_URL=hoist://u:s@127.0.0.1:1",
		"HOIST_DIR=" + t.TempDir(), "HOIST_DOMAIN=localhost", "HOIST_HTTP_PORT=80", "HOIST_HTTP_ADDR=127.0.0.1:0",
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	if _, err := c.build(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	return g.needs.all()
}

func allNeeds(t *testing.T) map[string][]hoist.Need {
	needs := map[string][]hoist.Need{}
	for _, c := range components {
		needs[c.name] = wired(t, c)
	}
	return needs
}

// The platform as the program wires it, on itself, has no circle that is not cut; it fails
// for a new one.
func TestEveryCircleIsCut(t *testing.T) {
	own, err := seed.Needs(t.Context(), seed.Config{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Settings: seed.Settings{
		DatabaseURL: "postgres://nobody@127.0.0.1:1/none", NATSURL: "nats://nobody@127.0.0.1:1", BlobURL: "hoist://u:s@127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	parts := seed.Parts{Own: own, Ground: []string{"postgres", "nats", "blobs"}, Needs: allNeeds(t),
		Inside: hoist.Components, AsDynos: hoist.Components, HasSlugs: true}
	edges := seed.Edges(parts)
	found := circles.Find(edges)
	if len(found) < 8 {
		t.Errorf("only %d circles: who has lost the needs of components?", len(found))
	}
	for _, c := range found {
		if !c.Cut() {
			t.Errorf("a circle is not cut: %v", c)
		}
	}
	for _, part := range []string{hoist.NeedDatabase, hoist.NeedBus, hoist.NeedBlobs} { // the seed runs it, and uses it
		if !slices.ContainsFunc(found, func(c circles.Circle) bool { return c[0].From == hoist.NeedSeed && c[0].To == part }) {
			t.Errorf("the seed does not say that it uses the %s", part)
		}
	}
	// Whatever cut is taken away, it is seen, unless another one cuts the same circle.
	for _, c := range found {
		if slices.ContainsFunc(c[1:], func(e circles.Edge) bool { return e.Cut != "" }) {
			continue
		}
		whole := slices.Clone(edges)
		for i := range whole {
			if whole[i] == c[0] {
				whole[i].Cut = ""
			}
		}
		if circles.Find(whole)[0].Cut() {
			t.Errorf("without the cut at %s → %s nobody sees the circle", c[0].From, c[0].To)
		}
	}
}

// Who may leave work in a table for another component has said that it
// needs that component: the database's grants are the proof that no need was forgotten.
func TestWorkIsLeftOnlyForThoseWhoAreNeeded(t *testing.T) {
	_, roles := postgrestest.New(t)
	needs := allNeeds(t)
	for table, workers := range map[string][]string{
		"builds": {hoist.ComponentCompile, hoist.ComponentAPI},
		"dynos":  {hoist.ComponentRuntime},
	} {
		for _, c := range hoist.Components {
			var may bool
			err := roles.Open("api").Pool.QueryRow(context.Background(),
				fmt.Sprintf(`SELECT has_table_privilege('hoist_%s', '%s', 'INSERT')`, c, table)).Scan(&may)
			if err != nil {
				t.Fatal(err)
			}
			for _, worker := range workers {
				if !may || worker == c {
					continue
				}
				if !slices.ContainsFunc(needs[c], func(n hoist.Need) bool { return n.On == worker }) {
					t.Errorf("%s may insert into %s and has not said that it needs %s", c, table, worker)
				}
			}
		}
	}
}

func TestWhatAComponentWaitsFor(t *testing.T) {
	g := &ground{}
	g.database("rows", waits)
	g.bus("bells", "it looks every 3 s")
	if got := g.waitsFor(); got != "" {
		t.Errorf("all is there: %q", got)
	}
	g.needs.set(hoist.NeedBus, "it does not answer")
	if got := g.waitsFor(); got != "" {
		t.Errorf("without what it can do without: %q", got)
	}
	g.needs.set(hoist.NeedDatabase, "it does not answer")
	if got := g.waitsFor(); got != "the database (it does not answer)" {
		t.Error(got)
	}
	g.needs.set(hoist.NeedDatabase, "")
	g.own = func() string { return "routes" }
	if got := g.waitsFor(); got != "routes" {
		t.Error(got)
	}
	if !strings.Contains(fmt.Sprint(g.needs.all()), "it looks every 3 s") {
		t.Error("a need is lost")
	}
}
