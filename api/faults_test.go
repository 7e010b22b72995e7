package api

import (
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob/blobtest"
	"github.com/hoist-sh/hoist/postgres"
)

// A relay stands before the database, so that it can go away.
type relay struct {
	listener net.Listener
	to       string
}

func (r relay) serve(open func() bool) {
	for {
		in, err := r.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := net.Dial("tcp", r.to)
			if err != nil || !open() {
				return
			}
			defer out.Close()
			go func() { io.Copy(out, in); out.Close() }()
			go func() {
				for open() {
					time.Sleep(10 * time.Millisecond)
				}
				in.Close()
			}()
			io.Copy(in, out)
		}()
	}
}

func TestTheAPIWaitsForTheDatabaseAndComesBack(t *testing.T) {
	e := start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	direct := e.roles.URL(hoist.ComponentAPI)
	host := strings.Split(strings.Split(direct, "@")[1], "/")[0]
	up := make(chan bool, 1)
	up <- false
	open := func() bool { v := <-up; up <- v; return v }
	set := func(v bool) { <-up; up <- v }
	defer set(false)
	go relay{l, host}.serve(open)

	through, err := postgres.Open(context.Background(), strings.Replace(direct, host, l.Addr().String(), 1))
	if err != nil {
		t.Fatal(err)
	}
	defer through.Close()
	far := *e
	far.db = through
	_, far.url = far.process()

	unavailable := func() bool {
		got := far.send("GET", "/account", "")
		return got.status == 503 && got.text("id") == "unavailable" && got.header.Get("Retry-After") != ""
	}
	unsure := func() bool {
		got := far.send("POST", "/apps", "")
		return got.status == 503 && strings.Contains(got.text("message"), "may or may not have been done")
	}
	works := func() bool { return far.send("GET", "/account", "").status == 200 }
	eventually(t, "503 before the database is there", unavailable)
	server := New(l, Config{DB: through, Blobs: e.blobs.Open(hoist.ComponentAPI), Log: slog.Default()})
	migrated := make(chan error, 1)
	go func() { migrated <- server.migrate(t.Context()) }()
	eventually(t, "it says what it waits for", func() bool { return strings.Contains(server.WaitsFor(), "its database schema: ") })
	set(true)
	eventually(t, "it works with the database", works)
	if err := <-migrated; err != nil || server.WaitsFor() != "" {
		t.Errorf("it waits for %q, %v", server.WaitsFor(), err)
	}
	set(false)
	eventually(t, "503 when the database has gone", unavailable)
	eventually(t, "503 for a change", unsure)
	set(true)
	eventually(t, "it works again", works)
}

func TestNothingGrowsForEver(t *testing.T) {
	e := start(t)
	ctx := context.Background()
	_, id := e.app("old")
	e.want(200, "PATCH", "/apps/old/config-vars", `{"A":"1"}`)
	e.exec(`INSERT INTO releases (id, app_id, version, description, account_id) SELECT gen_random_uuid(), $1, n, 'x', $2 FROM generate_series(3, 700) n`, id, e.account.ID)
	e.exec(`INSERT INTO builds (id, app_id, account_id, state, stack, finished_at, created_at, release_id) SELECT gen_random_uuid(), $1, $2, 'succeeded', 's', now(), now() - n * interval '1 s',
		(SELECT id FROM releases WHERE app_id = $1 AND version = 3) FROM generate_series(1, 200) n`, id, e.account.ID)
	e.exec(`INSERT INTO builds (id, app_id, account_id, stack, source_key, created_at) VALUES (gen_random_uuid(), $1, $2, 's', 'sources/a/needed.tgz', now() - interval '1 day')`, id, e.account.ID)
	gone, build, slug := hoist.NewID(), hoist.NewID(), hoist.NewID()
	e.exec(`INSERT INTO slugs (id, app_id, blob_key) VALUES ($1, $2, $3)`, slug, id, "slugs/"+id+"/"+slug+".squashfs")
	released := hoist.NewID()
	e.exec(`INSERT INTO slugs (id, app_id, blob_key, ready) VALUES ($1, $2, $3, true)`, released, id, "slugs/"+id+"/"+released+".1")
	needed := []string{"slugs/" + id + "/" + slug + ".squashfs.upload", "slugs/" + id + "/" + released + ".1", "sources/a/needed.tgz", "repos/" + gone + "/pack", "caches/" + id + ".tar.zst", "slugs/" + id + "/" + slug + ".squashfs"}
	garbage := []string{"slugs/" + id + "/" + released + ".upload", "slugs/" + id + "/" + released + ".2", "sources/a/old.tgz", "builds/" + build + "/result", "caches/" + gone + ".tar.zst", "slugs/" + gone + "/x", "slugs/" + id + "/x"}
	blobs := e.blobs.Open(blobtest.Everybody)
	for _, key := range slices.Concat(needed, garbage) {
		blobs.Put(ctx, key, strings.NewReader("x"), 1, 1)
	}
	// Another, so that the one of the server does not wake up meanwhile.
	collector := New(nil, Config{DB: e.db, Blobs: e.blobs.Open(hoist.ComponentAPI), Log: slog.Default()})
	backedUp, err := e.db.Lock(ctx, hoist.LockBlobs, func(time.Duration) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := collector.collectOnce(ctx, time.Now().Add(48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	backedUp()
	if n := len(e.blobs.Keys()); n != len(needed)+len(garbage) {
		t.Errorf("%d blobs are left of what a backup copies", n)
	}
	if err := collector.collectOnce(ctx, time.Now().Add(48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{
		`SELECT count(*) FROM releases`: releasesKept + 1, // and the current one, v2
		`SELECT count(*) FROM builds`:   buildsKept + 1,   // and the open one
		`SELECT count(*) FROM releases r JOIN apps a ON a.current_release_id = r.id`: 1,
	} {
		var n int
		if err := e.db.Pool.QueryRow(ctx, query).Scan(&n); err != nil || n != want {
			t.Errorf("%s: %d, not %d (%v)", query, n, want, err)
		}
	}
	slices.Sort(needed)
	if keys := e.blobs.Keys(); !slices.Equal(keys, needed) {
		t.Errorf("left: %q, not %q", keys, needed)
	}
}
