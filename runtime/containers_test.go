package runtime_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/oci"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/runtime"
)

// processEnv makes the test program a runtime process.
const processEnv = "HOIST_TEST_RUNTIME_PROCESS"

func ociConfig(dir string, pid int) oci.Config {
	return oci.Config{
		Name: fmt.Sprintf("rt%d", pid), Dir: filepath.Join(dir, "engine"),
		Network: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(248 + pid/64%8), byte(pid * 4), 0}), 22),
		Spares:  2,
	}
}

// runtimeProcess is `hoist runtime`, fast.
func runtimeProcess() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	fail := func(err error) int { log.Error("runtime", "error", err); return 1 }
	db, err := postgres.Open(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return fail(err)
	}
	bus, err := nats.Connect(os.Getenv("NATS_URL"), log)
	if err != nil {
		return fail(err)
	}
	defer bus.Close()
	blobs, err := blob.Open(os.Getenv("BLOB_URL"))
	if err != nil {
		return fail(err)
	}
	var pid int
	fmt.Sscan(os.Getenv(processEnv), &pid)
	cfg := ociConfig(os.Getenv("DIR"), pid)
	cfg.Log = log
	engine, err := oci.New(cfg)
	if err != nil {
		return fail(err)
	}
	defer engine.Close()
	err = runtime.New(runtime.Config{
		Dir: os.Getenv("DIR"), Memory: 64 << 30, Drain: 100 * time.Millisecond, StopGrace: 5 * time.Second,
		AttachTimeout: 10 * time.Second, Backoff: 50 * time.Millisecond, LostAfter: time.Minute, MemoryInterval: 500 * time.Millisecond,
	}, db, bus, blobs, engine, log).Run(ctx)
	if err != nil {
		return fail(err)
	}
	return 0
}

// containers returns a directory for runtime processes, whose containers end with the test.
func (p *platform) containers(t *testing.T) (dir string) {
	dir = t.TempDir()
	t.Cleanup(func() {
		e, err := oci.New(ociConfig(dir, os.Getpid()))
		if err == nil {
			err = e.Teardown(context.Background())
		}
		if err != nil {
			t.Error(err)
		}
	})
	return dir
}

// process starts a runtime process; kill ends it by SIGKILL.
func (p *platform) process(t *testing.T, dir string) (kill func()) {
	t.Helper()
	self, _ := os.Executable()
	cmd := exec.Command(self)
	// In a mount namespace of its own, which a kill ends.
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "HOIST_MOUNT_NAMESPACE=") })
	cmd.Env = append(env, fmt.Sprintf("%s=%d", processEnv, os.Getpid()), "DIR="+dir, "BLOB_URL="+p.store.URL(hoist.ComponentRuntime),
		"DATABASE_URL="+p.roles.URL(hoist.ComponentRuntime), "NATS_URL="+p.nats.URL(hoist.ComponentRuntime))
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() { cmd.Process.Kill(); cmd.Wait() }
	t.Cleanup(kill)
	return kill
}

// image is a slug with the test program in it.
func image(t *testing.T) []byte {
	t.Helper()
	self, _ := os.Executable()
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/app", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"cp", self, dir + "/app/app"}, {"mksquashfs", dir + "/app", dir + "/slug", "-comp", "zstd", "-Xcompression-level", "1", "-quiet", "-no-progress"}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	b, err := os.ReadFile(dir + "/slug")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestContainers is the whole way with real containers and a runtime that is
// killed at will.
func TestContainers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("containers need root")
	}
	p := newPlatform(t)
	dir, slug := p.containers(t), image(t)
	kill := p.process(t, dir)
	serve := `APP=1 BIND=0.0.0.0 exec ./app web`
	a := p.app(t)
	a.deployImage(slug, map[string]string{"web": serve})
	a.becomes("web.1 up")
	if body, err := a.get(); body != "web.1 v1" {
		t.Fatal(body, err)
	}
	a.logs("heroku[web.1]: Starting process with command `"+serve+"`", "app[web.1]: serving", "heroku[web.1]: State changed from starting to up")

	a.deployImage(slug, map[string]string{"web": serve})
	a.eventually("v2 alone, without a gap", func() bool {
		body, err := a.get()
		if err != nil {
			t.Fatal(err)
		}
		return body == "web.1 v2" && a.live() == "web.1 up"
	})

	before, _ := a.getPath("/started")
	kill()
	if body, err := a.getPath("/started"); body != before || err != nil {
		t.Fatalf("after SIGKILL of the runtime: %q, %v; want %q", body, err, before)
	}
	kill = p.process(t, dir)
	a.scale("web", 2)
	a.becomes("web.1 up, web.2 up")
	if body, err := a.getPath("/started"); body != before || err != nil {
		t.Errorf("after adoption: %q, %v; want %q", body, err, before)
	}

	id, secret := a.oneOff(hoist.Dyno{Command: `cat; echo "in $PWD as $DYNO"; exit 5`, Attach: true})
	conn := a.attach(id, secret)
	conn.Write([]byte("hello\n\x04"))
	if out, err := io.ReadAll(conn); string(out) != "hello\nin /app as run.1\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	if code := a.exit(id); code != 5 {
		t.Errorf("exit code %d", code)
	}
	id, secret = a.oneOff(hoist.Dyno{Command: `tty; read -r line; echo "got $line"; exit 6`, Attach: true, TTY: true})
	conn = a.attach(id, secret)
	conn.Write([]byte("hello\r"))
	if out, err := io.ReadAll(conn); !strings.Contains(string(out), "/dev/pts/") || !strings.Contains(string(out), "got hello\r\n") || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	if code := a.exit(id); code != 6 {
		t.Errorf("exit code %d", code)
	}
	id, _ = a.oneOff(hoist.Dyno{Command: `head -c 1400000000 /dev/zero | tail`})
	a.eventually("out of memory", func() bool { return a.exit(id) >= 0 })
	a.logs("heroku[run.1]: Error R15 (Memory quota vastly exceeded)")
	id, _ = a.oneOff(hoist.Dyno{Command: `perl -e 'for (1 .. 300) { my $pid = fork; defined $pid or exit 3; $pid or sleep 1000 }'; exit $?`})
	a.eventually("no more processes", func() bool { return a.exit(id) == 3 })
	a.logs("heroku[run.1]: Error: it had as many processes and threads as its size allows")

	a.deployImage(slug, map[string]string{"web": serve, "flood": `APP=1 exec ./app flood`})
	a.eventually("three up", func() bool { return a.live() == "flood.1 up, web.1 up, web.2 up" })
	a.logs("heroku[flood.1]: Error L10 (output buffer overflow): ")
	a.scale("flood", 0)
	kill() // in the midst of it
	p.process(t, dir)
	a.becomes("web.1 up, web.2 up")
	a.scale("web", 0)
	a.becomes("")
}

func TestADynoAboveItsMemoryQuotaIsToldAndRunsOn(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("containers need root")
	}
	p := newPlatform(t)
	dir := p.containers(t)
	p.process(t, dir)
	a := p.app(t)
	a.deployImage(image(t), map[string]string{"worker": `exec perl -e '@x = map { "x" x (1 << 20) } 1 .. 600; $| = 1; print "fed\n"; sleep 1000'`})
	a.scale("worker", 1)
	a.becomes("worker.1 up")
	a.logs("app[worker.1]: fed", "heroku[worker.1]: Error R14 (Memory quota exceeded)", "heroku[worker.1]: Error R14 (Memory quota exceeded)")
	a.becomes("worker.1 up")
}
