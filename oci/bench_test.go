package oci_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
// the kernel's part (namespaces, mounts, interface, file system, pipe) and the
// supervisor's. It compares what is available before and after, which others on the machine disturb.
func BenchmarkIdleMemory(b *testing.B) {
	const dynos = 100
	e := newEngine(b)
	image := slug(b, map[string]string{"hello": "world"})
	for b.Loop() {
		started := []hoist.ContainerSpec{startIdle(b, e, image)} // what is shared is there now
		before := available(b)
		var own int64
		for range dynos {
			started = append(started, startIdle(b, e, image))
		}
		list, err := e.List(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range list {
			own += privateMemory(b, e, c.ID)
		}
		own -= own / (dynos + 1)
		b.ReportMetric(float64(before-available(b)-own)/dynos/(1<<20), "MB/dyno")
		b.ReportMetric(float64(own)/dynos/(1<<20), "MB/process")
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
	go e.Watch(b.Context(), s.ID, func([]byte) {})
	return s
}

// available returns the bytes that new programs could have.
func available(b *testing.B) int64 {
	os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
	time.Sleep(200 * time.Millisecond)
	return field(b, "/proc/meminfo", "MemAvailable:")
}

// privateMemory returns what the process of a container has to itself.
func privateMemory(b *testing.B, e *oci.Engine, id hoist.ID) int64 {
	procs, err := filepath.Glob("/sys/fs/cgroup/pids/hoist-*/" + id + "/cgroup.procs")
	if err != nil || len(procs) == 0 {
		procs, _ = filepath.Glob("/sys/fs/cgroup/hoist-*/" + id + "/cgroup.procs")
	}
	var sum int64
	for _, path := range procs {
		data, _ := os.ReadFile(path)
		for _, pid := range strings.Fields(string(data)) {
			sum += field(b, "/proc/"+pid+"/smaps_rollup", "Private_Dirty:")
			sum += field(b, "/proc/"+pid+"/status", "VmPTE:")
		}
	}
	return sum
}

func field(b *testing.B, path, name string) int64 {
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb << 10
		}
	}
	b.Fatal(fmt.Errorf("%s has no %s", path, name))
	return 0
}
