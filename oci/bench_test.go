package oci_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// BenchmarkStart measures the time from Start to the command's first output, beside that
// of a bare `crun run` of the same command in the same run: one after the
// other, so that what else the machine does meets all. The command prints when that is.
// Before each the machine has a moment to itself, as before the start of
// one dyno; a fresh start is one that finds nothing prepared, as in a crowd of them.
func BenchmarkStart(b *testing.B) {
	var cfg oci.Config
	prepared := newEngine(b, withSpares(1), func(c *oci.Config) { cfg = *c })
	unprepared := newEngine(b)
	image := slug(b, map[string]string{"hello": "world"})
	bundle := bareBundle(b)
	first := func(e *oci.Engine) time.Duration {
		s := spec(printTime)
		s.SlugPath = image
		begin := time.Now()
		out, _ := run(b, e, s)
		return since(b, begin, out)
	}
	bare := func() time.Duration {
		begin := time.Now()
		out, err := exec.Command("crun", "run", "--bundle", bundle, hoist.NewID()).Output()
		if err != nil {
			b.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
		}
		return since(b, begin, string(out))
	}
	first(prepared) // the seccomp filter is compiled, the disk's template made
	first(unprepared)
	bare()
	var ours, fresh, theirs []time.Duration
	for b.Loop() {
		ready(b, cfg, 1)
		time.Sleep(settle)
		ours = append(ours, first(prepared))
		ready(b, cfg, 1)
		time.Sleep(settle)
		fresh = append(fresh, first(unprepared))
		time.Sleep(settle)
		theirs = append(theirs, bare())
	}
	report := func(name string, of []time.Duration) (median float64) {
		slices.Sort(of)
		median = of[len(of)/2].Seconds() * 1000
		b.ReportMetric(of[0].Seconds()*1000, "ms/"+name+"-min")
		b.ReportMetric(median, "ms/"+name)
		return median
	}
	crun := report("crun-run", theirs)
	b.ReportMetric(report("start", ours)/crun, "x-crun-run")
	b.ReportMetric(report("fresh-start", fresh)/crun, "x-crun-run-fresh")
}

const settle = 50 * time.Millisecond

// printTime is a command that prints the time in microseconds.
const printTime = `echo $EPOCHREALTIME`

func since(b *testing.B, begin time.Time, printed string) time.Duration {
	us, err := strconv.ParseInt(strings.NewReplacer(".", "", ",", "", "\n", "").Replace(printed), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.UnixMicro(us).Sub(begin)
}

// bareBundle is the least crun starts: the host's /usr, five namespaces, no
// network, no limits, no filter.
func bareBundle(b *testing.B) string {
	dir := b.TempDir()
	root := filepath.Join(dir, "root")
	for _, name := range []string{"usr", "proc", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(root, name)); err != nil {
			b.Fatal(err)
		}
	}
	s := specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: root, Readonly: true},
		Process: &specs.Process{Args: []string{"/bin/bash", "-c", printTime}, Cwd: "/", Env: []string{"PATH=/usr/bin:/bin"}},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/usr", Type: "bind", Source: "/usr", Options: []string{"rbind", "ro"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/" + config(b).Name + "-bare/" + filepath.Base(dir),
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace},
			},
		},
	}
	data, err := json.Marshal(s)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		left, _ := filepath.Glob("/sys/fs/cgroup/*" + filepath.Dir(s.Linux.CgroupsPath))
		for _, dir := range left {
			os.Remove(dir)
		}
	})
	return dir
}

// BenchmarkIdleMemory measures what an idle dyno costs the machine beside its own process:
// the kernel's part (namespaces, mounts, interface, file system, pipe, control groups)
// and what the supervisor and its helpers, if it had any, grew. What is available
// before and after is the cross-check: it has everything, of others on the machine too.
func BenchmarkIdleMemory(b *testing.B) {
	const dynos = 100
	e := newEngine(b)
	image := slug(b, map[string]string{"hello": "world"})
	for b.Loop() {
		started := []hoist.ContainerSpec{startIdle(b, e, image)} // what is shared is there now
		available, kernel, ours := memory(b)
		for range dynos {
			started = append(started, startIdle(b, e, image))
		}
		availableThen, kernelThen, oursThen := memory(b)
		list, err := e.List(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		var private, tables int64
		for _, c := range list {
			p, t := ownMemory(b, c.Pid)
			private, tables = private+p, tables+t
		}
		private, tables = private*dynos/(dynos+1), tables*dynos/(dynos+1)
		report := func(name string, bytes int64) { b.ReportMetric(float64(bytes)/dynos/(1<<20), "MB/"+name) }
		report("kernel", kernelThen-kernel-tables)
		report("supervisor", oursThen-ours)
		report("dyno", kernelThen-kernel-tables+oursThen-ours)
		report("process", private+tables)
		report("available-less", available-availableThen-private-tables)
		for _, s := range started {
			if err := e.Remove(b.Context(), s.ID); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func startIdle(b *testing.B, e *oci.Engine, image string) hoist.ContainerSpec {
	s := spec("sleep 1000")
	s.SlugPath = image
	start(b, e, s)
	go e.Watch(b.Context(), s.ID, each(func(_ []byte) {}))
	return s
}

// memory returns, in bytes, what new programs could have, what the kernel has for itself,
// and what this process and its children that are no containers have.
func memory(b *testing.B) (available, kernel, ours int64) {
	runtime.GC()
	debug.FreeOSMemory()
	os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
	time.Sleep(500 * time.Millisecond)
	for _, name := range []string{"Slab:", "KernelStack:", "PageTables:", "Percpu:", "Shmem:"} {
		kernel += field(b, "/proc/meminfo", name)
	}
	ours = field(b, "/proc/self/status", "RssAnon:")
	children, _ := filepath.Glob("/proc/self/task/*/children")
	for _, path := range children {
		data, _ := os.ReadFile(path)
		for _, pid := range strings.Fields(string(data)) {
			if group, _ := os.ReadFile("/proc/" + pid + "/cgroup"); !strings.Contains(string(group), "/hoist-") {
				rss, _ := lookup("/proc/"+pid+"/status", "RssAnon:") // none of one that has just ended
				ours += rss
			}
		}
	}
	return field(b, "/proc/meminfo", "MemAvailable:"), kernel, ours
}

// ownMemory returns the bytes that a container's process has to itself, and those of its page tables.
func ownMemory(b *testing.B, pid int) (private, tables int64) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	return field(b, dir+"smaps_rollup", "Private_Dirty:"), field(b, dir+"status", "VmPTE:")
}

func field(b *testing.B, path, name string) int64 {
	n, err := lookup(path, name)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// lookup returns a field that is given in kB, in bytes.
func lookup(path, name string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}
