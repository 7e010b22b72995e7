package e2e

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/hoist-sh/hoist/blob/blobtest"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/jackc/pgx/v5"
	"github.com/vishvananda/netns"
)

// The ground may be elsewhere: a database whose owner is no superuser, a bus with one
// user, an S3. Nothing of it is started here then, and all of the platform works.
func TestAGroundElsewhere(t *testing.T) {
	world, err := newOutside()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(world.close)
	s3 := startBuckets(t, world)
	w := newFaultWorld(t, 1, elsewhere(t, s3("platform"))...)
	w.hasNoGround(t)
	app := w.apps[0]
	if err := app.mustSet(); err != nil {
		t.Fatal(err)
	}
	if out, err := app.cli(t.Context(), "run", "echo", "from", "afar").CombinedOutput(); err != nil || !strings.Contains(string(out), "from afar") {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := app.cli(t.Context(), "logs", "-n", "100").CombinedOutput(); err != nil || !strings.Contains(string(out), "Build succeeded") {
		t.Errorf("%v: %s", err, out)
	}
	w.invariants(t)
	if _, err := w.hoist("seed", "stop"); err != nil {
		t.Fatal(err)
	}
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	if err := app.mustPush(); err != nil { // fetches the repository from there
		t.Fatal(err)
	}
	w.invariants(t)
	w.restoredElsewhere(t, s3("restored"))
}

// elsewhere starts a database and a bus, and returns the settings for these and a bucket.
func elsewhere(t *testing.T, bucket string) []string {
	t.Helper()
	bus, err := nats.StartServer(nats.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", Users: map[string]string{"seed": "secret"},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	return []string{"DATABASE_URL=" + startDatabase(t), "NATS_URL=" + bus.URL("seed"), "BLOB_URL=" + bucket}
}

func (w *faultWorld) hasNoGround(t *testing.T) {
	t.Helper()
	for _, own := range []string{"postgres", "nats", "blobs"} {
		if _, err := os.Stat(filepath.Join(w.Dir, own)); err == nil {
			t.Errorf("the seed made its own %s", own)
		}
	}
}

// restoredElsewhere loses the platform, and restores it on a fresh machine whose ground is
// elsewhere, too, and empty.
func (w *faultWorld) restoredElsewhere(t *testing.T, bucket string) {
	t.Helper()
	dir := filepath.Dir(w.Dir)
	file, key := filepath.Join(dir, "one.backup"), filepath.Join(dir, "key")
	if out, err := w.hoist("backup", file, "--key-file", key, "--new-key"); err != nil || !strings.Contains(out, "Backed up 1 app of") {
		t.Fatal(out, err)
	}
	if _, err := w.hoist("purge", "--yes"); err != nil {
		t.Fatal(err)
	}
	w.move(filepath.Join(dir, "elsewhere"))
	restore := func() (string, error) { return w.hoist("restore", file, "--key-file", key) }
	if out, err := restore(); err == nil || !strings.Contains(out, "the database of DATABASE_URL holds a platform already") {
		t.Fatalf("restored over another platform: %v\n%s", err, out)
	}
	if left, _ := filepath.Glob(w.Dir + "*"); len(left) > 0 {
		t.Errorf("a refused restore left %v", left)
	}
	w.settings = append(w.settings, elsewhere(t, bucket)...)
	if out, err := restore(); err != nil || !strings.Contains(out, "Restored 1 app of") {
		t.Fatal(out, err)
	}
	w.hasNoGround(t)
	w.knowHost(t)
	w.invariants(t)
	app := w.apps[0]
	app.sameClone(t)
	if err := app.mustPush(); err != nil {
		t.Fatal(err)
	}
	w.invariants(t)
}

// startDatabase starts a Postgres with an empty database and returns its URL.
func startDatabase(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hoist-pg")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o711) // Postgres passes through it
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &postgres.Server{Dir: dir + "/pg", Password: "secret", Mortal: true}
	if err := s.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(run) }()
	t.Cleanup(func() { stop(); <-done })
	if err := s.Ready(t.Context(), map[string]string{"owner": "secret"}); err != nil {
		t.Fatal(err)
	}
	db, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.Background())
	if _, err := db.Exec(t.Context(), `CREATE DATABASE platform OWNER owner`); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(s.RoleURL("owner", "secret"), "/hoist") + "/platform"
}

// startBuckets starts an S3 on a host of the internet, and returns what makes a bucket there and
// returns its BLOB_URL.
func startBuckets(t *testing.T, o *outside) (bucket func(name string) string) {
	t.Helper()
	bin := blobtest.Tool(t, "versitygw")
	addr := strings.TrimPrefix(o.URL, "http://") + ":9000"
	cmd := blobtest.Versity(bin, addr, t.TempDir())
	cmd.Dir = t.TempDir()
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	o.start(t, cmd)
	return func(name string) string {
		blobtest.MakeBucket(t, addr, name)
		return fmt.Sprintf("s3://%s:%s@%s/%s?insecure=true", blobtest.S3Key, blobtest.S3Secret, addr, name)
	}
}

// start starts a process on the host, which ends with the test.
func (o *outside) start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // when its thread ends
	started, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // for good: the thread is elsewhere
		err := netns.Set(o.ns)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
}
