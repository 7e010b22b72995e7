package compile_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob/blobtest"
	"github.com/hoist-sh/hoist/compile"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/nats/natstest"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
	"github.com/hoist-sh/hoist/rendezvous"
)

type world struct {
	t     *testing.T
	admin *postgres.DB
	roles *postgrestest.Roles
	nats  *natstest.Server
	git   hoist.Bus // the others' connections
	logs  hoist.Bus
	deaf  bool // no bell is heard
	blobs *blobtest.Store
	app   hoist.ID
	owner hoist.ID
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, nats: natstest.New(t), blobs: blobtest.New(t), app: hoist.NewID(), owner: hoist.NewID()}
	w.admin, w.roles = postgrestest.New(t)
	w.git, w.logs = w.nats.Bus(hoist.ComponentGit), w.nats.Bus(hoist.ComponentLogs)
	if err := w.nats.Bus(nats.ComponentSeed).EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.exec(`INSERT INTO accounts (id, email) VALUES ($1, 'a@example.com')`, w.owner)
	w.exec(`INSERT INTO apps (id, name, owner_id, stack, region, config) VALUES ($1, 'blue', $2, 'hoist-1', 'here', '{"GREETING": "hello"}')`, w.app, w.owner)
	return w
}

// bus is a connection of a component's, with its permissions only.
func (w *world) bus(component string) hoist.Bus {
	w.t.Helper()
	bus := w.nats.Bus(component)
	if w.deaf {
		return deaf{bus}
	}
	return bus
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.admin.Pool.Exec(context.Background(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

// tarball makes a gzipped tar; files that start with #! are executable.
func tarball(files map[string]string) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	tw := tar.NewWriter(z)
	for name, text := range files {
		mode := int64(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		tw.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(text))})
		io.WriteString(tw, text)
	}
	tw.Close()
	z.Close()
	return buf.Bytes()
}

// push inserts a build of a source with these files.
func (w *world) push(files map[string]string) hoist.ID {
	w.t.Helper()
	id := hoist.NewID()
	text := tarball(files)
	sum := sha256.Sum256(text)
	key := "builds/" + id + "/source.tgz"
	if err := w.blobs.Open(hoist.ComponentGit).Put(context.Background(), key, bytes.NewReader(text), int64(len(text)), 1<<30); err != nil {
		w.t.Fatal(err)
	}
	packs := "[]"
	if files["wait-for"] != "" {
		pack := filepath.Join(w.t.TempDir(), "waiting.tgz")
		if err := os.WriteFile(pack, tarball(waiting), 0o644); err != nil {
			w.t.Fatal(err)
		}
		packs = `[{"Ordinal": 0, "URL": "file://` + pack + `"}]`
	}
	w.exec(`INSERT INTO builds (id, app_id, account_id, stack, source_key, source_checksum, source_version, source_description, push, buildpacks)
		VALUES ($1, $2, $3, 'hoist-1', $4, $5, '4ac0ffee00', 'First', '{}', $6)`, id, w.app, w.owner, key, "SHA256:"+hex.EncodeToString(sum[:]), packs)
	if !w.deaf {
		w.git.Ring(hoist.BellBuild, nil)
	}
	return id
}

// worker runs a compile worker until the test ends or stop is called.
func (w *world) worker(s compile.Settings) (stop func()) {
	return w.workerWith(s, w.roles.Open(hoist.ComponentCompile))
}

func (w *world) workerWith(s compile.Settings, db compile.Store) (stop func()) {
	if s.Lease == 0 {
		s.Lease = 2 * time.Second
	}
	dial := func(ctx context.Context, listener, secret string) (io.ReadWriteCloser, error) {
		return rendezvous.Dial(ctx, listener, secret)
	}
	log := slog.New(slog.NewTextHandler(testWriter{w.t}, nil))
	worker := compile.New(s, db, w.bus(hoist.ComponentCompile), w.blobs.Open(hoist.ComponentCompile), dial, log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := worker.Run(ctx); !errors.Is(err, context.Canceled) {
			w.t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if testing.Verbose() {
		os.Stderr.Write(p)
	}
	return len(p), nil
}

func (w *world) machine() *machine {
	return newMachine(w.t, w.roles.Open(hoist.ComponentRuntime), w.bus(hoist.ComponentRuntime))
}

type row struct {
	State, Error, Output, ClaimedBy string
	Attempts                        int
	SlugID                          *hoist.ID
	FinishedAt                      *time.Time
}

func (w *world) build(id hoist.ID) (r row) {
	w.t.Helper()
	err := w.admin.Pool.QueryRow(context.Background(), `SELECT state, error, output, claimed_by, attempts, slug_id::text, finished_at FROM builds WHERE id = $1`, id).
		Scan(&r.State, &r.Error, &r.Output, &r.ClaimedBy, &r.Attempts, &r.SlugID, &r.FinishedAt)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// await waits until the build is in one of the states.
func (w *world) await(id hoist.ID, states ...hoist.BuildState) row {
	w.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		r := w.build(id)
		if slices.Contains(states, hoist.BuildState(r.State)) {
			return r
		}
		if time.Now().After(deadline) {
			text, _ := w.output(id)
			w.t.Fatalf("the build is %+v, want %v; output:\n%s", r, states, text)
		}
	}
}

func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within 2 minutes: %s", what)
		}
	}
}

func (w *world) count(sql string, args ...any) (n int) {
	w.t.Helper()
	if err := w.admin.Pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

var procfileApp = map[string]string{"Procfile": "web: bin/server\nworker: bin/worker\n", "bin/server": "#!/bin/sh\n"}

func TestABuildBecomesASlug(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine()
	w.worker(compile.Settings{})
	id := w.push(procfileApp)
	r := w.await(id, hoist.BuildBuilt, hoist.BuildFailed)
	if r.State != "built" || r.SlugID == nil || r.ClaimedBy != "" {
		t.Fatalf("%+v", r)
	}
	if w.count(`SELECT count(*) FROM apps a JOIN dynos d ON d.app_id = a.id WHERE d.type = 'build' AND d.number = 1 AND a.next_dyno = 1`) != 1 {
		t.Error("its dyno is not build.1, or the first run will not be run.1")
	}
	var s hoist.Slug
	err := w.admin.Pool.QueryRow(t.Context(), `SELECT blob_key, sha256, size, process_types, buildpack_provided, commit, stack, ready FROM slugs WHERE id = $1`, *r.SlugID).
		Scan(&s.Key, &s.SHA256, &s.Size, &s.ProcessTypes, &s.BuildpackProvided, &s.Commit, &s.Stack, &s.Ready)
	if err != nil {
		t.Fatal(err)
	}
	if s.ProcessTypes["web"] != "bin/server" || s.ProcessTypes["worker"] != "bin/worker" || s.BuildpackProvided != "Procfile" || s.Commit != "4ac0ffee00" || !s.Ready {
		t.Errorf("%+v", s)
	}
	body, _, err := w.blobs.Open(hoist.ComponentRuntime).Get(t.Context(), s.Key)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	blob, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(blob); hex.EncodeToString(sum[:]) != s.SHA256 || int64(len(blob)) != s.Size {
		t.Errorf("the slug in the blob store is not the one in the database")
	}
	text, end := w.output(id)
	for _, want := range []string{"-----> Procfile app detected", "Procfile declares types     -> web, worker", "-----> Compressing... done, "} {
		if !strings.Contains(text, want) || !strings.Contains(r.Output, want) {
			t.Errorf("the output lacks %q:\n%s", want, text)
		}
	}
	if end != "" {
		t.Errorf("the stream ended with %q although the release is to come", end)
	}
	if lines := w.appLog(); len(lines) < 4 || lines[0].Text != "Build started of 4ac0ffee" {
		t.Errorf("log: %+v", lines)
	}
	w.eventually("only slug and cache are left", func() bool { return len(w.blobs.Keys()) == 2 })
	w.eventually("the dyno is down", func() bool { return w.count(`SELECT count(*) FROM dynos WHERE state <> 'down'`) == 0 })
}

func TestAFailedBuildSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine()
	w.worker(compile.Settings{})
	id := w.push(map[string]string{"README": "nothing to see"})
	r := w.await(id, hoist.BuildFailed)
	if !strings.Contains(r.Error, "No default language could be detected") || r.FinishedAt == nil {
		t.Errorf("%+v", r)
	}
	w.eventually("the stream ends", func() bool { _, end := w.output(id); return end == hoist.BuildFailed })
	if text, _ := w.output(id); !strings.HasSuffix(text, " !     Push rejected, failed to compile the app.\n\n !     Push failed\n") {
		t.Errorf("%s", text)
	}
}

func TestAFailedBuildSaysWhichLimitItMet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine().reason = hoist.ReasonMemory
	w.worker(compile.Settings{})
	r := w.await(w.push(map[string]string{"README": "nothing to see"}), hoist.BuildFailed)
	if !strings.Contains(r.Output, "\n !     Its dyno met a limit: R15 (Memory quota vastly exceeded).\n\n !     Push rejected") {
		t.Error(r.Output)
	}
	if !strings.Contains(r.Error, "could be detected") || !strings.HasSuffix(r.Error, "\nIts dyno met a limit: R15 (Memory quota vastly exceeded).") {
		t.Error(r.Error)
	}
}

func TestABuildSeesURLsAndConfigButNoCredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine()
	w.worker(compile.Settings{Env: map[string]string{"MIRROR": "somewhere"}})
	id := w.push(map[string]string{"package.json": `{"scripts": {"start": "x", "build": "echo $GREETING $MIRROR; env | grep -v ^HOIST_TEST | sed -n s/^HOIST/leaked:/p"}}`})
	r := w.await(id, hoist.BuildBuilt, hoist.BuildFailed)
	if !strings.Contains(r.Output, "hello somewhere") || strings.Contains(r.Output, "leaked:_") {
		t.Errorf("%s", r.Output)
	}
	var env map[string]string
	if err := w.admin.Pool.QueryRow(t.Context(), `SELECT env FROM dynos`).Scan(&env); err != nil {
		t.Fatal(err)
	}
	for k, v := range env {
		if strings.Contains(v, "hello") || strings.Contains(v, "postgres://") {
			t.Errorf("the dyno's row holds %s=%s", k, v)
		}
	}
}

func TestABuildFindsTheCacheOfTheOneBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine()
	w.worker(compile.Settings{})
	blobs := w.blobs.Open(hoist.ComponentCompile)
	whole := "caches/" + w.app
	changes := whole + ".changes"
	build := func(script string) string {
		t.Helper()
		r := w.await(w.push(map[string]string{"package.json": `{"scripts": {"start": "x", "build": "cd $npm_config_cache; ` + script + `"}}`}), hoist.BuildBuilt, hoist.BuildFailed)
		if r.State != "built" {
			t.Fatalf("%+v", r)
		}
		return r.Output
	}
	build("head -c 300000 /dev/urandom >large; sum large >sum; echo one >>words")
	stored, err := blobs.Stat(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	if out := build("echo found `cat words`; echo two >>words"); !strings.Contains(out, "found one\n") {
		t.Error(out)
	}
	if out := build("echo found `cat words`; sum large | cmp - sum && echo whole"); !strings.Contains(out, "found one two\n") || !strings.Contains(out, "whole\n") {
		t.Error(out)
	}
	if now, err := blobs.Stat(t.Context(), whole); err != nil || !now.ModTime.Equal(stored.ModTime) {
		t.Errorf("all of the cache was stored again: %+v %v", now, err)
	}
	if info, err := blobs.Stat(t.Context(), changes); err != nil || info.Size > 100_000 {
		t.Errorf("%+v %v", info, err)
	}
}

// slow is an app that compiles until the file is there.
func slow(file string) map[string]string { return map[string]string{"wait-for": file} }

// waiting is the buildpack of slow apps.
var waiting = map[string]string{
	"bin/detect":  "#!/bin/sh\n[ -f $1/wait-for ] && echo Slow\n",
	"bin/compile": "#!/bin/sh\necho working\nwhile [ ! -e $(cat $1/wait-for) ]; do sleep 0.05; done\n",
}

func (w *world) awaitOutput(id hoist.ID, what string) {
	w.t.Helper()
	w.eventually("the output has "+what, func() bool { text, _ := w.output(id); return strings.Contains(text, what) })
}

func TestACancelledBuildStopsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine()
	w.worker(compile.Settings{Lease: 30 * time.Second})
	id := w.push(slow("/nonexistent/" + hoist.NewID()))
	w.awaitOutput(id, "working\n")
	w.exec(`UPDATE builds SET state = 'canceled', finished_at = now() WHERE id = $1`, id)
	w.git.Ring(hoist.BellBuild+"."+id, nil)
	start := time.Now()
	// Hung up, it may have ended before it is asked to.
	w.eventually("the dyno is down", func() bool { return w.count(`SELECT count(*) FROM dynos WHERE state = 'down'`) == 1 })
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("it took %s", d)
	}
	if r := w.build(id); r.State != "canceled" {
		t.Errorf("%+v", r)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.dynos) != 1 {
		t.Errorf("%d dynos", len(m.dynos))
	}
}

func TestAnotherWorkerTakesOverFromOneThatDied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine()
	go_ := t.TempDir() + "/go"
	// A worker that loses its database is as good as killed: it can write
	// nothing any more.
	db := w.roles.Open(hoist.ComponentCompile)
	w.workerWith(compile.Settings{Drain: time.Millisecond}, db)
	id := w.push(slow(go_))
	w.awaitOutput(id, "working\n")
	db.Close()
	w.worker(compile.Settings{})
	w.awaitOutput(id, "-----> Starting the build again (attempt 2 of 3)")
	os.WriteFile(go_, nil, 0o644)
	if r := w.await(id, hoist.BuildBuilt, hoist.BuildFailed); r.State != "built" || r.Attempts != 2 {
		t.Errorf("%+v", r)
	}
	if n := w.count(`SELECT count(*) FROM slugs`); n != 1 {
		t.Errorf("%d slugs", n)
	}
	w.eventually("no dyno is left", func() bool { return w.count(`SELECT count(*) FROM dynos WHERE state <> 'down'`) == 0 })
}

// held is a worker's database at whose calls the test can hold the worker.
type held struct {
	compile.Store
	at func(call string)
}

func (h held) ClaimBuildJob(ctx context.Context, token string, self hoist.ID, proven bool, lease time.Duration) (hoist.Build, error) {
	h.at("claim")
	return h.Store.ClaimBuildJob(ctx, token, self, proven, lease)
}

func (h held) RenewBuildJob(ctx context.Context, b hoist.Build, lease time.Duration) error {
	h.at("renew")
	return h.Store.RenewBuildJob(ctx, b, lease)
}

func (h held) BuildDyno(ctx context.Context, id hoist.ID) (hoist.Dyno, string, error) {
	h.at("dyno")
	return h.Store.BuildDyno(ctx, id)
}

func (h held) StopBuildDynos(ctx context.Context, b hoist.Build) (int, error) {
	h.at("stop")
	return h.Store.StopBuildDynos(ctx, b)
}

func (h held) ReturnBuildJob(ctx context.Context, b hoist.Build, delay time.Duration, handover bool) error {
	err := h.Store.ReturnBuildJob(ctx, b, delay, handover)
	h.at("returned")
	return err
}

func TestAWorkerThatLostItsBuildLeavesTheDynoOfTheNextOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine()
	go_ := t.TempDir() + "/go"
	var asleep sync.RWMutex // as a stopped or swapped out process is
	stop := w.workerWith(compile.Settings{Drain: time.Millisecond}, held{w.roles.Open(hoist.ComponentCompile), func(string) {
		asleep.RLock()
		defer asleep.RUnlock()
	}})
	id := w.push(slow(go_))
	w.awaitOutput(id, "working\n")
	asleep.Lock()
	wake := sync.OnceFunc(asleep.Unlock)
	t.Cleanup(wake) // before the worker is waited for
	w.worker(compile.Settings{})
	w.eventually("the next one compiles", func() bool { text, _ := w.output(id); return strings.Count(text, "working\n") == 2 })
	wake()
	stop()
	os.WriteFile(go_, nil, 0o644)
	if r := w.await(id, hoist.BuildBuilt, hoist.BuildFailed); r.State != "built" || r.Attempts != 2 {
		t.Errorf("%+v", r)
	}
}

// awayOnce is a database that is away when a build is given back for the first time.
type awayOnce struct {
	compile.Store
	was bool
}

func (a *awayOnce) ReturnBuildJob(ctx context.Context, b hoist.Build, delay time.Duration, handover bool) error {
	if !a.was {
		a.was = true
		return errors.New("the database is away")
	}
	return a.Store.ReturnBuildJob(ctx, b, delay, handover)
}

func TestAStoppedWorkerHandsItsBuildOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine()
	go_ := t.TempDir() + "/go"
	stop := w.workerWith(compile.Settings{Drain: 50 * time.Millisecond, Lease: 30 * time.Second}, &awayOnce{Store: w.roles.Open(hoist.ComponentCompile)})
	id := w.push(slow(go_))
	w.awaitOutput(id, "working\n")
	stop()
	if r := w.build(id); r.State != "pending" || r.Attempts != 0 {
		t.Fatalf("%+v", r)
	}
	w.awaitOutput(id, "is being replaced")
	if text, _ := w.output(id); strings.Count(text, "is being replaced") != 1 {
		t.Errorf("said more than once:\n%s", text)
	}
	os.WriteFile(go_, nil, 0o644)
	w.worker(compile.Settings{})
	w.await(id, hoist.BuildBuilt)
}

func TestABuildThatIsHandedOverIsNotDisturbedByWhoHadIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine()
	go_ := t.TempDir() + "/go"
	id := w.push(slow(go_))
	stop := w.workerWith(compile.Settings{Drain: time.Millisecond, Lease: time.Minute}, held{w.roles.Open(hoist.ComponentCompile), func(call string) {
		if call == "returned" {
			w.eventually("the next one compiles", func() bool { text, _ := w.output(id); return strings.Count(text, "working\n") == 2 })
		}
	}})
	w.awaitOutput(id, "working\n")
	w.worker(compile.Settings{})
	stop()
	if !slices.ContainsFunc(w.blobs.Keys(), func(key string) bool { return strings.HasSuffix(key, "/env.json") }) {
		t.Errorf("the next one's blobs are gone: %q", w.blobs.Keys())
	}
	os.WriteFile(go_, nil, 0o644)
	if r := w.await(id, hoist.BuildBuilt, hoist.BuildFailed); r.State != "built" || r.Attempts != 1 {
		t.Errorf("%+v", r)
	}
}

func TestAStoppedWorkerLetsAShortBuildEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine()
	go_ := t.TempDir() + "/go"
	stop := w.worker(compile.Settings{})
	id := w.push(slow(go_))
	w.awaitOutput(id, "working\n")
	time.AfterFunc(100*time.Millisecond, func() { os.WriteFile(go_, nil, 0o644) })
	stop()
	if r := w.build(id); r.State != "built" {
		t.Errorf("%+v", r)
	}
}

// A runtime is killed when it has the client of a build's dyno and not begun with it, and comes back at
// another address.
func TestABuildsDynoIsFoundAtItsRuntimesNewAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine()
	killed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.exec(`UPDATE workers SET address = $2 WHERE id = $1`, m.id, killed.Addr().String())
	w.worker(compile.Settings{})
	id := w.push(procfileApp)
	c, err := killed.Accept()
	if err != nil {
		t.Fatal(err)
	}
	rendezvous.ReadSecret(c)
	killed.Close()
	w.exec(`UPDATE workers SET address = $2 WHERE id = $1`, m.id, m.listener.Addr().String())
	c.Close()
	if r := w.await(id, hoist.BuildBuilt); r.Attempts != 1 {
		t.Errorf("%+v", r)
	}
}

func TestABuildWhoseMachinesDieIsTriedThreeTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker(compile.Settings{})
	id := w.push(slow("/nonexistent/" + hoist.NewID()))
	for attempt := range 3 {
		m := w.machine()
		w.eventually("the build runs", func() bool {
			text, _ := w.output(id)
			return strings.Count(text, "working\n") == attempt+1
		})
		w.exec(`UPDATE dynos SET state = 'down', reason = 'R99 (Machine lost)' WHERE worker_id = $1`, m.id)
		m.halt()
		w.exec(`DELETE FROM workers WHERE id = $1`, m.id)
	}
	if r := w.await(id, hoist.BuildFailed); r.Attempts != 3 || !strings.Contains(r.Error, "3 attempts") {
		t.Errorf("%+v", r)
	}
}

func TestABuildThatEveryWorkerDiedOfWasTriedThreeTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.push(procfileApp)
	w.exec(`UPDATE builds SET attempts = 3 WHERE id = $1`, id)
	w.worker(compile.Settings{})
	if r := w.await(id, hoist.BuildBuilt, hoist.BuildFailed); !strings.Contains(r.Error, "in 3 attempts") {
		t.Errorf("%+v", r)
	}
}

func TestDynosOfABuildCancelledWhileItsWorkerWasDeadAreStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.push(slow("/nonexistent/" + hoist.NewID()))
	w.exec(`UPDATE builds SET state = 'cancelled', finished_at = now() - interval '1 minute' WHERE id = $1`, id)
	w.exec(`INSERT INTO dynos (id, app_id, kind, type, number, size, command, env)
		SELECT gen_random_uuid(), app_id, 'build', 'build', 1, 'Performance-M', 'hoist-compile', jsonb_build_object('REQUEST_ID', id::text)
		FROM builds WHERE id = $1`, id)
	w.worker(compile.Settings{})
	w.eventually("the dyno is down", func() bool {
		var n int
		w.admin.Pool.QueryRow(t.Context(), `SELECT count(*) FROM dynos WHERE state <> 'down'`).Scan(&n)
		return n == 0
	})
}

func TestLostBellsCostLittle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deaf = true
	w.machine()
	w.worker(compile.Settings{})
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	w.await(w.push(procfileApp), hoist.BuildBuilt)
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("it took %s", d)
	}
}

func TestManyBuildsAreEachCompiledOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine()
	for range 3 {
		w.worker(compile.Settings{})
	}
	var ids []hoist.ID
	for range 12 {
		ids = append(ids, w.push(procfileApp))
	}
	for _, id := range ids {
		if r := w.await(id, hoist.BuildBuilt, hoist.BuildFailed); r.State != "built" || r.Attempts != 1 {
			t.Errorf("%+v", r)
		}
	}
	if n := w.count(`SELECT count(*) FROM slugs`); n != 12 {
		t.Errorf("%d slugs", n)
	}
	// The same source makes the same slug.
	if n := w.count(`SELECT count(DISTINCT sha256) FROM slugs`); n != 1 {
		t.Errorf("%d different slugs of one source", n)
	}
}

func TestASlowCompilationTimesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine()
	w.worker(compile.Settings{Timeout: 2 * time.Second})
	id := w.push(slow("/nonexistent/" + hoist.NewID()))
	w.awaitOutput(id, "working\n")
	time.Sleep(2 * time.Second) // the runtime's deadline
	m.mu.Lock()
	for _, cmd := range m.dynos {
		kill(cmd)
	}
	m.mu.Unlock()
	if r := w.await(id, hoist.BuildFailed); !strings.Contains(r.Error, "took longer than 2s") {
		t.Errorf("%+v", r)
	}
}

func TestAWorkerOnProbationCompilesOnlyWhatIsForIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine()
	self, proven := hoist.NewID(), make(chan struct{})
	w.worker(compile.Settings{Self: self, Proven: proven})
	anybodys := w.push(procfileApp)
	others := w.push(procfileApp)
	w.exec(`UPDATE builds SET only_for = $2 WHERE id = $1`, others, hoist.NewID())
	own := w.push(procfileApp)
	w.exec(`UPDATE builds SET only_for = $2 WHERE id = $1`, own, self)
	w.await(own, hoist.BuildBuilt)
	time.Sleep(hoist.ResyncInterval + 500*time.Millisecond)
	for _, id := range []hoist.ID{anybodys, others} {
		if r := w.build(id); r.State != "pending" || r.Attempts != 0 {
			t.Errorf("claimed on probation: %+v", r)
		}
	}
	close(proven)
	w.await(anybodys, hoist.BuildBuilt)
	if r := w.build(others); r.State != "pending" {
		t.Errorf("somebody else's: %+v", r)
	}
}

func TestABuildForAWorkerThatIsGoneFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	there, gone := hoist.NewID(), hoist.NewID()
	w.exec(`INSERT INTO components (id, type) VALUES ($1, 'compile')`, there)
	build := func(component hoist.ID, lease string) hoist.ID {
		id := w.push(procfileApp)
		w.exec(`UPDATE builds SET only_for = $2, created_at = now() - interval '1 minute', lease_until = now() + $3::interval WHERE id = $1`, id, component, lease)
		return id
	}
	waits, lost, busy := build(there, "-1 s"), build(gone, "-1 s"), build(gone, "1 minute")
	db := w.roles.Open(hoist.ComponentCompile)
	list, err := db.FailLostBuildJobs(t.Context(), "gone")
	if err != nil || len(list) != 1 || list[0].ID != lost || list[0].AppID != w.app {
		t.Fatal(list, err)
	}
	if r := w.build(lost); r.State != "failed" || r.Error != "gone" || r.FinishedAt == nil {
		t.Errorf("%+v", r)
	}
	for _, id := range []hoist.ID{waits, busy} {
		if r := w.build(id); r.State != "pending" {
			t.Errorf("%+v", r)
		}
	}
}
