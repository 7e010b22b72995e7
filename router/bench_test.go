package router_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/router"
)

// benchChild makes TestMain run a part of the benchmark in a process of its
// own, so that nobody's work counts as another's: "backend", or "router" in
// front of a backend's address.
const benchChild = "HOIST_BENCH_CHILD"

func runBenchChild(part, backend string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	if part == "backend" {
		panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "Hello, world!\n") })))
	}
	r, err := router.New(router.Config{Public: hoist.Public{Domain: "test"}, Store: oneApp(backend), Bus: taking{},
		Log: slog.New(slog.DiscardHandler), Settings: router.DefaultSettings(), HTTP: l})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if path := os.Getenv("HOIST_BENCH_PROFILE"); path != "" {
		f, _ := os.Create(path)
		pprof.StartCPUProfile(f)
		time.AfterFunc(20*time.Second, pprof.StopCPUProfile)
	}
	defer cancel()
	panic(r.Run(ctx))
}

// oneApp is a Store with one app, "bench", at an address.
type oneApp string

func (a oneApp) Routes(context.Context, []hoist.ID) ([]hoist.Route, error) {
	return []hoist.Route{{AppID: "1", Name: "bench", Web: 1, Dynos: []hoist.WebDyno{{ID: "1", Number: 1, State: hoist.DynoUp, Address: string(a)}}}}, nil
}
func (oneApp) Services(context.Context) ([]hoist.Service, error) { return nil, nil }
func (oneApp) AttachAddress(context.Context, []byte) (string, string, error) {
	return "", "", hoist.ErrNotFound
}

// taking is a bus that takes the lines and drops them: the rivals' logs are
// buffered files.
type taking struct{ silent }

func (taking) Append(string, []byte) bool { return true }

// TestBenchmark compares the router with no proxy, nginx and Caddy before the
// same backend, in rounds so that each has the machine's good and bad moments.
// HOIST_BENCH=1 runs it; rivals that are not installed are left out.
func TestBenchmark(t *testing.T) {
	if os.Getenv("HOIST_BENCH") == "" {
		t.Skip("HOIST_BENCH is not set")
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		t.Skip("wrk is not installed")
	}
	addr, _ := child(t, "backend", "")
	hoistAddr, hoistPid := child(t, "router", addr)
	rivals := []rival{{"direct", addr, 0}, {"hoist", hoistAddr, hoistPid}}
	if a, pid := nginx(t, addr); pid > 0 {
		rivals = append(rivals, rival{"nginx", a, pid})
	}
	if a, pid := caddy(t, addr); pid > 0 {
		rivals = append(rivals, rival{"Caddy", a, pid})
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tc=64 req/s\tp99 ms\tof direct\tCPU µs/req\tc=256 req/s\tp99 ms\tof direct\tCPU µs/req")
	results := map[string][]measure{}
	for range 2 {
		for _, connections := range []int{64, 256} {
			for _, r := range rivals {
				key := fmt.Sprint(r.name, connections)
				results[key] = append(results[key], wrk(t, connections, r))
			}
		}
	}
	best := func(name string, c int) (m measure) {
		for _, x := range results[fmt.Sprint(name, c)] {
			if x.rate > m.rate {
				m = x
			}
		}
		return m
	}
	for _, r := range rivals {
		fmt.Fprint(table, r.name)
		for _, c := range []int{64, 256} {
			m := best(r.name, c)
			fmt.Fprintf(table, "\t%.0f\t%.1f\t%.2f\t%.0f", m.rate, m.p99, m.rate/best("direct", c).rate, m.cpu)
		}
		fmt.Fprintln(table)
	}
	table.Flush()
}

type rival struct {
	name, addr string
	pid        int // 0 for none
}

type measure struct {
	rate float64 // requests a second
	p99  float64 // ms
	cpu  float64 // µs of the proxy's for a request
}

func wrk(t *testing.T, connections int, r rival) measure {
	before := cpuTime(r.pid)
	out, err := exec.Command("wrk", "-t1", "-c", strconv.Itoa(connections), "-d2s", "--latency", "-H", "Host: bench.test", "http://"+r.addr+"/").CombinedOutput()
	if err != nil || strings.Contains(string(out), "Non-2xx") {
		t.Fatalf("%s: %v: %s", r.name, err, out)
	}
	var m measure
	m.rate, _ = strconv.ParseFloat(find(out, `Requests/sec:\s+([\d.]+)`)[0], 64)
	requests, _ := strconv.ParseFloat(find(out, `(\d+) requests in`)[0], 64)
	m.cpu = float64((cpuTime(r.pid) - before).Microseconds()) / requests
	p99 := find(out, `99%\s+([\d.]+)(us|ms|s)`)
	m.p99, _ = strconv.ParseFloat(p99[0], 64)
	switch p99[1] {
	case "us":
		m.p99 /= 1000
	case "s":
		m.p99 *= 1000
	}
	return m
}

// cpuTime is what a process has used (proc(5): utime and stime, in 10 ms).
func cpuTime(pid int) time.Duration {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// child starts a part of the benchmark and returns its address.
func child(t *testing.T, part, backend string) (addr string, pid int) {
	cmd := exec.Command(os.Args[0], backend)
	cmd.Env = append(os.Environ(), benchChild+"="+part)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), cmd.Process.Pid
}

func find(out []byte, expr string) []string {
	if m := regexp.MustCompile(expr).FindStringSubmatch(string(out)); m != nil {
		return m[1:]
	}
	return []string{"0", ""}
}

func start(t *testing.T, cmd *exec.Cmd) {
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

// listening returns the process's ID once it listens; 0 if it does not.
func listening(cmd *exec.Cmd, addr string) int {
	for range 400 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return cmd.Process.Pid
		}
		time.Sleep(25 * time.Millisecond)
	}
	return 0
}

func nginx(t *testing.T, backend string) (addr string, pid int) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		if path = "/usr/sbin/nginx"; exec.Command(path, "-v").Run() != nil {
			return "", 0
		}
	}
	dir, addr := t.TempDir(), refusingAddr(t)
	os.WriteFile(filepath.Join(dir, "nginx.conf"), fmt.Appendf(nil, `
daemon off; master_process off; pid %[1]s/pid; error_log stderr crit; worker_rlimit_nofile 4096;
events { worker_connections 2048; }
http {
  access_log %[1]s/access.log combined buffer=64k;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  keepalive_requests 1000000;
  upstream backend { server %[2]s; keepalive 512; keepalive_requests 1000000; }
  server { listen %[3]s; location / {
    proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id;
  } }
}`, dir, backend, addr), 0o600)
	cmd := exec.Command(path, "-c", filepath.Join(dir, "nginx.conf"), "-p", dir)
	start(t, cmd)
	return addr, listening(cmd, addr)
}

func caddy(t *testing.T, backend string) (addr string, pid int) {
	path, err := exec.LookPath("caddy")
	if err != nil {
		return "", 0
	}
	dir, addr := t.TempDir(), refusingAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	os.WriteFile(filepath.Join(dir, "Caddyfile"), fmt.Appendf(nil, `
{
	admin off
	auto_https off
	persist_config off
}
http://:%s {
	bind 127.0.0.1
	log {
		output file %s/access.log
	}
	reverse_proxy %s {
		transport http {
			keepalive_idle_conns_per_host 512
		}
	}
}`, port, dir, backend), 0o600)
	cmd := exec.Command(path, "run", "--adapter", "caddyfile", "--config", filepath.Join(dir, "Caddyfile"))
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	start(t, cmd)
	return addr, listening(cmd, addr)
}
