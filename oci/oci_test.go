package oci_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/oci"
	"github.com/hoist-sh/hoist/oci/ocitest"
)

func TestMain(m *testing.M) {
	if os.Getuid() != 0 {
		fmt.Println("oci: these tests need root; skipped")
		return
	}
	if err := oci.Isolate(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv(supervisorEnv) != "" {
		os.Exit(supervisor())
	}
	os.Exit(m.Run())
}

// config is that of an engine no other test has, nor another run of the tests.
func config(t testing.TB) oci.Config {
	t.Helper()
	n := names.next()
	return oci.Config{
		Name:    fmt.Sprintf("%s%d", testNames(), n),
		Dir:     filepath.Join(t.TempDir(), "engine"),
		Network: networks.get(t, n),
		Log:     slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}
}

// testNames is how the names of this process's engines begin.
func testNames() string { return fmt.Sprintf("t%d-", os.Getpid()) }

var names counter

// networks are those of this process's engines, /22 each.
var networks blocks

type blocks struct {
	mu  sync.Mutex
	all []netip.Prefix // /18 each
}

func (b *blocks) get(t testing.TB, n int) netip.Prefix {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.all) <= n/16 {
		more, err := ocitest.Network()
		if err != nil {
			t.Fatal(err)
		}
		b.all = append(b.all, more)
	}
	a := b.all[n/16].Addr().As4()
	a[2] += byte(n % 16 * 4)
	return netip.PrefixFrom(netip.AddrFrom4(a), 22)
}

type counter struct {
	sync.Mutex
	n int
}

func (c *counter) next() int {
	c.Lock()
	defer c.Unlock()
	c.n++
	return c.n
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// newEngine returns an engine that is torn down with the test.
func newEngine(t testing.TB, change ...func(*oci.Config)) *oci.Engine {
	t.Helper()
	cfg := config(t)
	for _, f := range change {
		f(&cfg)
	}
	e, err := oci.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Teardown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

var small = hoist.Size{Name: "test", Memory: 128 << 20, CPUShare: 100, Pids: 64, Disk: 64 << 20}

func spec(command string) hoist.ContainerSpec {
	return hoist.ContainerSpec{ID: hoist.NewID(), Name: "web.1", Command: command, Size: small}
}

func start(t testing.TB, e *oci.Engine, s hoist.ContainerSpec) hoist.ContainerSpec {
	t.Helper()
	if err := e.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// lines collects what Watch hands on.
type lines struct {
	sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Line(_ hoist.Place, line []byte) {
	l.Lock()
	defer l.Unlock()
	l.buf.Write(line)
	l.buf.WriteByte('\n')
}

func (l *lines) Flush(context.Context) error { return nil }
func (l *lines) Lost(int)                    {}

// each is what is done with each line.
type each func(line []byte)

func (f each) Line(_ hoist.Place, line []byte) { f(line) }
func (f each) Flush(context.Context) error     { return nil }
func (f each) Lost(int)                        {}

func (l *lines) String() string {
	l.Lock()
	defer l.Unlock()
	return l.buf.String()
}

func (l *lines) wait(t testing.TB, want string) {
	t.Helper()
	eventually(t, func() bool { return strings.Contains(l.String(), want) }, func() string {
		return fmt.Sprintf("output has no %q: %q", want, l)
	})
}

func watch(t testing.TB, e *oci.Engine, id hoist.ID) (*lines, hoist.Exit) {
	t.Helper()
	var out lines
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	exit, err := e.Watch(ctx, id, &out)
	if err != nil {
		t.Fatalf("watch: %v; output %q", err, out.String())
	}
	return &out, exit
}

// run starts a container, waits for its end and removes it.
func run(t testing.TB, e *oci.Engine, s hoist.ContainerSpec) (string, hoist.Exit) {
	t.Helper()
	start(t, e, s)
	out, exit := watch(t, e, s.ID)
	if err := e.Remove(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	return out.String(), exit
}

func eventually(t testing.TB, ok func() bool, why func() string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(why())
		}
	}
}

// slug makes a squashfs image with the files.
func slug(t testing.TB, files map[string]string) string {
	t.Helper()
	tree := t.TempDir()
	for name, text := range files {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return squash(t, tree)
}

// squash makes a squashfs image of the directory.
func squash(t testing.TB, tree string, options ...string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "slug.squashfs")
	args := append([]string{tree, image, "-all-root", "-quiet", "-no-progress"}, options...)
	if out, err := exec.Command("mksquashfs", args...).CombinedOutput(); err != nil {
		t.Fatalf("mksquashfs: %v: %s", err, out)
	}
	return image
}

func TestAnEngineThatCannotBeMadeLeavesNothing(t *testing.T) {
	cfg := config(t)
	cfg.Stack = filepath.Join(t.TempDir(), "there-is-none")
	if e, err := oci.New(cfg); err == nil {
		e.Teardown(t.Context())
		t.Fatal("it was made")
	}
	for _, pattern := range []string{"/sys/fs/cgroup/hoist-", "/sys/fs/cgroup/*/hoist-", "/run/hoist-"} {
		if left, _ := filepath.Glob(pattern + cfg.Name + "*"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}
