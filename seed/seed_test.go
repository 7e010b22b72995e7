package seed_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/seed"
	"github.com/hoist-sh/hoist/socket"
)

// hoist is the program, built for these tests: they drive real processes.
var hoist string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hoist-seed")
	if err != nil {
		panic(err)
	}
	hoist = filepath.Join(dir, "hoist")
	if out, err := exec.Command("go", "build", "-o", hoist, "github.com/hoist-sh/hoist/cmd/hoist").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// house is a seed of a test's own.
type house struct {
	t    *testing.T
	dir  string
	env  []string
	http int
}

// newHouse makes no containers unless told to: then it needs root.
func newHouse(t *testing.T, network string) *house {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hoist-house") // short: it holds a socket
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, dir: dir, http: freePort(t)}
	h.env = append(os.Environ(), "HOIST_DATA="+dir, "HOIST_HTTP_PORT="+strconv.Itoa(h.http),
		"HOIST_HTTPS_PORT="+strconv.Itoa(freePort(t)), "HOIST_SSH_PORT="+strconv.Itoa(freePort(t)),
		"HOIST_RENDEZVOUS_PORT="+strconv.Itoa(freePort(t)), "HOIST_NETWORK="+network,
		"HOIST_COMPONENTS=git,api,compile,router,logs")
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "seed.log"))
			t.Logf("seed.log:\n%s", log)
		}
		h.run("seed", "stop")
		os.RemoveAll(dir)
	})
	return h
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := socket.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (h *house) run(args ...string) (string, error) {
	cmd := exec.CommandContext(h.t.Context(), hoist, args...)
	if h.t.Context().Err() != nil { // in a cleanup
		cmd = exec.Command(hoist, args...)
	}
	cmd.Env = h.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (h *house) must(args ...string) string {
	h.t.Helper()
	out, err := h.run(args...)
	if err != nil {
		h.t.Fatalf("hoist %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (h *house) status() seed.Status {
	h.t.Helper()
	var st seed.Status
	if err := json.Unmarshal([]byte(h.must("seed", "status", "--json")), &st); err != nil {
		h.t.Fatal(err)
	}
	return st
}

// task returns the status of a part of the seed.
func (h *house) task(name string) seed.TaskStatus {
	for _, task := range h.status().Tasks {
		if task.Name == name {
			return task
		}
	}
	h.t.Fatalf("no task %s", name)
	return seed.TaskStatus{}
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for start := time.Now(); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Since(start) > 40*time.Second {
			t.Fatal("never happened: ", what)
		}
	}
}

// answers reports whether the router passes a request on to the API.
func (h *house) answers() bool {
	req, _ := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/regions", h.http), nil)
	req.Host = fmt.Sprintf("api.localhost:%d", h.http)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode < 500 && bytes.HasPrefix(bytes.TrimSpace(body), []byte{'{'}) || resp.StatusCode == 200
}

func TestASeedStartsStopsAndStartsAgain(t *testing.T) {
	h := newHouse(t, "10.240.0.0/24")
	h.must("seed", "--daemon")
	eventually(t, "the API answers through the router", h.answers)
	before := h.must("seed", "env", "api")
	if out, err := h.run("seed"); err == nil || !strings.Contains(out, "runs already in "+h.dir) || !strings.Contains(out, "process") {
		t.Errorf("a second seed: %v %s", err, out)
	}
	here := fmt.Sprintf("runs at http://localhost:%d/ ", h.http)
	if out := h.must("seed", "--daemon"); !strings.Contains(out, "runs already") || strings.Contains(out, "other settings") || !strings.Contains(out, here) {
		t.Error(out)
	}
	if out := h.must("seed", "--daemon", "--domain", "paas.example"); !strings.Contains(out, "other settings than these (domain, listen)") || !strings.Contains(out, here) {
		t.Error(out)
	}
	if out := h.must("help", "seed", "status"); !strings.Contains(out, "--data ") || strings.Contains(out, "--http-port") {
		t.Errorf("which seed it is of can be said, and nothing else: %s", out)
	}
	h.must("seed", "stop")
	if out, err := h.run("seed", "status"); err == nil {
		t.Error(out)
	}
	if out := h.must("seed", "stop"); !strings.Contains(out, "No seed runs") {
		t.Error(out)
	}
	h.must("seed", "--daemon")
	if after := h.must("seed", "env", "api"); after != before {
		t.Errorf("the environment changed:\n%s\n%s", before, after)
	}
	eventually(t, "the API answers again", h.answers)
	for _, name := range []string{"seed.json", "settings.json", "ca-key.pem", "cert-key.pem", "ssh_host_ed25519_key", "seed.log", "seed.sock"} {
		if st, err := os.Stat(filepath.Join(h.dir, name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, st.Mode(), err)
		}
	}
	if out := h.must("seed", "logs", "-n", "1"); strings.Count(out, "\n") != 1 {
		t.Errorf("last line: %q", out)
	}
}

func TestAKilledPostgresComesBack(t *testing.T) {
	h := newHouse(t, "10.240.1.0/24")
	h.must("seed", "--daemon")
	text, err := os.ReadFile(filepath.Join(h.dir, "postgres/data/postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.Fields(string(text))[0])
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "postgres is up again", func() bool {
		p := h.task("postgres")
		return p.Restarts > 0 && p.State == "up"
	})
	eventually(t, "all are ready again", func() bool { return h.status().Ready })
	eventually(t, "the API answers", h.answers)
}

func TestAKilledSeedIsTakenOver(t *testing.T) {
	h := newHouse(t, "10.240.2.0/24")
	h.must("seed", "--daemon")
	before := h.status()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.must("seed", "--daemon")
	if after := h.status(); after.PID == before.PID || !after.Ready {
		t.Errorf("%+v", after)
	}
	eventually(t, "the API answers", h.answers)
}

func TestTwoSeedsLiveSideBySide(t *testing.T) {
	a, b := newHouse(t, "10.240.3.0/24"), newHouse(t, "10.240.4.0/24")
	a.must("seed", "--daemon")
	b.must("seed", "--daemon")
	a.must("seed", "stop")
	if !b.status().Ready || !b.answers() {
		t.Error("one seed took the other with it")
	}
}

func TestATakenPortIsNamed(t *testing.T) {
	h := newHouse(t, "10.240.5.0/24")
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", h.http))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := h.run("seed", "--daemon")
	if err == nil || !strings.Contains(out, strconv.Itoa(h.http)) || !strings.Contains(out, "--http-port, HOIST_HTTP_PORT or http_port") {
		t.Errorf("%v %s", err, out)
	}
}

func TestAComponentRunsAloneFromItsEnvironment(t *testing.T) {
	h := newHouse(t, "10.240.6.0/24")
	h.must("seed", "--daemon", "--without", "git")
	environ := strings.Split(strings.TrimSpace(h.must("seed", "env", "git")), "\n")
	cmd := exec.Command(hoist, "git")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, environ...)
	cmd.Stderr = t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() }()
	eventually(t, "git alone greets on its port", func() bool {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", h.status().Public.SSH), time.Second)
		if err != nil {
			return false
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		banner := make([]byte, 4)
		_, err = io.ReadFull(conn, banner)
		return err == nil && string(banner) == "SSH-"
	})
}

func TestDownLeavesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("makes containers; needs root")
	}
	before := leftovers(t)
	h := newHouse(t, "10.240.7.0/24")
	h.env = append(h.env, "HOIST_COMPONENTS=git,api,compile,runtime,router,logs")
	h.must("seed", "--daemon")
	h.must("down")
	if out := h.must("purge", "--yes"); !strings.Contains(out, "gone") {
		t.Error(out)
	}
	if _, err := os.Stat(h.dir); !errors.Is(err, os.ErrNotExist) {
		entries, _ := os.ReadDir(h.dir)
		t.Errorf("left of the data: %v", entries)
	}
	for what := range leftovers(t) {
		if _, was := before[what]; !was && strings.Contains(what, filepath.Base(h.dir)) {
			t.Errorf("left: %s", what)
		}
	}
	name := (&seed.Settings{DataDir: h.dir}).Name()
	for what := range leftovers(t) {
		if strings.Contains(what, name) {
			t.Errorf("left: %s", what)
		}
	}
}

// leftovers lists what a platform could leave on the machine.
func leftovers(t *testing.T) map[string]bool {
	t.Helper()
	left := map[string]bool{}
	add := func(kind string, names ...string) {
		for _, n := range names {
			left[kind+" "+n] = true
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	add("mount", strings.Split(string(mounts), "\n")...)
	tables, _ := exec.Command("nft", "list", "tables").Output()
	add("firewall", strings.Split(string(tables), "\n")...)
	for kind, pattern := range map[string]string{
		"cgroup": "/sys/fs/cgroup/*/hoist*", "cgroup2": "/sys/fs/cgroup/hoist*", "interface": "/sys/class/net/*", "netns": "/run/netns/*", "run": "/run/hoist*",
	} {
		names, _ := filepath.Glob(pattern)
		add(kind, names...)
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		text, _ := os.ReadFile(p)
		add("process", strings.ReplaceAll(string(text), "\x00", " "))
	}
	return left
}
