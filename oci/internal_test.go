package oci

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

func TestSlugOwnerAndDynoChangePlaces(t *testing.T) {
	for _, owner := range []int{0, 1, 999, 1000, 1001, 65535} {
		ids := map[int]int{}
		for _, m := range swapIDs(owner, 1<<20) {
			for i := range m.Size {
				ids[m.ContainerID+i] = m.HostID + i
			}
		}
		if len(ids) != uidRange || ids[owner] != 1<<20+dynoUID || ids[dynoUID] != 1<<20+owner || ids[7] == ids[8] {
			t.Errorf("owner %d: %v", owner, swapIDs(owner, 1<<20))
		}
	}
}

func TestResolverIsFitForDynos(t *testing.T) {
	text, servers := parseResolver("# x\nnameserver 127.0.0.53\nnameserver ::1\nnameserver\t10.0.0.1\nsearch a  b\nsortlist x\noptions ndots:2\n")
	if string(text) != "nameserver 10.0.0.1\nsearch a b\noptions ndots:2\n" || !cmp.Equal(servers, []netip.Addr{netip.MustParseAddr("10.0.0.1")}, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
		t.Fatalf("got %q, %v", text, servers)
	}
}

func FuzzParseResolver(f *testing.F) {
	f.Add("nameserver 1.2.3.4\nsearch x\n")
	f.Add("nameserver\nnameserver 127.0.0.1\r\noptions\x00")
	f.Fuzz(func(t *testing.T, conf string) {
		text, servers := parseResolver(conf)
		again, same := parseResolver(string(text))
		if string(again) != string(text) || len(same) != len(servers) {
			t.Fatalf("%q becomes %q, then %q", conf, text, again)
		}
	})
}

func TestSecretsAndPeopleAreNotInEtc(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "etc")
	for name, mode := range map[string]os.FileMode{
		"shadow": 0o640, "ssl/certs/a.pem": 0o644, "ssl/private.key": 0o600, "hostname": 0o644, "apt/auth.conf": 0o644,
	} {
		path := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
	}
	passwd := "root:hash:0:0:root:/root:/bin/bash\nalice:x:1001:1001::/home/alice:/bin/sh\ntorn\nnobody:x:65534:65534::/:/bin/false\n"
	if err := os.WriteFile(filepath.Join(from, "passwd"), []byte(passwd), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := makeEtc(from, to); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"ssl/certs/a.pem": true, "nsswitch.conf": true, "shadow": false, "ssl/private.key": false, "hostname": false, "apt/auth.conf": false,
	} {
		if _, err := os.Stat(filepath.Join(to, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := os.ReadFile(filepath.Join(to, "passwd"))
	if s := string(got); err != nil || strings.Contains(s, "alice") || strings.Contains(s, "hash") || strings.Count(s, "\n") != 3 {
		t.Errorf("passwd: %s, %v", s, err)
	}
}

func TestPackageSourcesAreWhereBuildpacksLookForThem(t *testing.T) {
	for name, text := range map[string]string{"apt/sources.list": "deb http://example.com x main\n", "apt/sources.list.d/debian.sources": ""} {
		from, to := t.TempDir(), filepath.Join(t.TempDir(), "etc")
		path := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := makeEtc(from, to); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(to, "apt/sources.list")); err != nil || string(got) != text {
			t.Errorf("with %s: %q, %v", name, got, err)
		}
		if st, err := os.Stat(filepath.Join(to, "apt/sources.list.d")); err != nil || !st.IsDir() {
			t.Errorf("with %s: %v", name, err)
		}
	}
}

func TestAddressesRestAndRunOut(t *testing.T) {
	n, err := newNetwork(netip.MustParsePrefix("10.9.8.0/29"), "x")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 6 {
		ip, err := n.take(netip.Addr{})
		if err != nil {
			got = append(got, "none")
			n.release(netip.MustParseAddr("10.9.8.3"))
			continue
		}
		got = append(got, ip.String())
	}
	if want := []string{"10.9.8.2", "10.9.8.3", "10.9.8.4", "10.9.8.5", "10.9.8.6", "none"}; !cmp.Equal(got, want) {
		t.Fatalf("got %v", got)
	}
	if ip, err := n.take(netip.Addr{}); err != nil || ip.String() != "10.9.8.3" {
		t.Fatalf("got %v, %v", ip, err)
	}
}

func FuzzParseClaim(f *testing.F) {
	f.Add("10.0.0.0/18/hoist/1")
	f.Add("10.0.0.1/18/x/")
	f.Add("////")
	f.Fuzz(func(t *testing.T, text string) {
		if name, network, ok := parseClaim(text); ok && (!network.IsValid() || name == "") {
			t.Fatalf("%q is %q, %s", text, name, network)
		}
	})
}

// A process that waits for a disk, say, does not end when it is killed.
func TestWhoRemovesAContainerDoesNotWaitForEver(t *testing.T) {
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	p, err := openProcess(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &container{name: "x", record: record{ID: "x", Pid: p.pid}, process: p, done: make(chan struct{})}
	e := &Engine{containers: map[hoist.ID]*container{"x": c}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := e.Remove(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// An engine that adopts a container whose process is gone takes a moment to say that it has ended.
func TestNobodyIsSignalledInAContainerThatEndedUnseen(t *testing.T) {
	c := &container{done: make(chan struct{})}
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := new(Engine).signal(c, sig); err != nil {
			t.Errorf("%s: %v", sig, err)
		}
	}
}

// A process without a handler, as the first of a container, is ended by a signal: when the others that were
// told have ended, without those that never listen, and not in the signal's name if it took SIGKILL.
func TestASignalEndsTheFirstProcessAfterThoseThatItTold(t *testing.T) {
	const deaf = `$SIG{TERM} = "IGNORE"; $| = 1; print "up\n"; <STDIN>`
	const busy = `$SIG{TERM} = sub { $SIG{TERM} = "IGNORE"; print "told\n"; <STDIN>; exit }; $| = 1; print "up\n"; sleep 100`
	for name, test := range map[string]struct {
		helper string
		kill   bool
		code   int
	}{
		"deaf": {deaf, false, 143}, "busy": {busy, false, 143}, "busy for too long": {busy, true, 137},
	} {
		t.Run(name, func(t *testing.T) {
			helper := exec.Command("perl", "-e", test.helper)
			in, _ := helper.StdinPipe()
			out, _ := helper.StdoutPipe()
			first := exec.Command("sleep", "100")
			if err := errors.Join(helper.Start(), first.Start()); err != nil {
				t.Fatal(err)
			}
			defer helper.Wait()
			defer helper.Process.Kill()
			defer first.Process.Kill()
			p, err := openProcess(first.Process.Pid, 0)
			if err != nil {
				t.Fatal(err)
			}
			c := &container{name: "c", dir: t.TempDir(), process: p, done: make(chan struct{})}
			e := &Engine{cgroups: &cgroups{root: t.TempDir(), parent: "/x", v2: true}}
			procs := filepath.Join(e.cgroups.dir("pids", "c"), "cgroup.procs")
			hold := func(pids string) {
				if err := errors.Join(os.MkdirAll(filepath.Dir(procs), 0o755), os.WriteFile(procs, []byte(pids), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			hold(fmt.Sprintf("%d\n%d\n", p.pid, helper.Process.Pid))
			said := bufio.NewReader(out)
			if line, err := said.ReadString('\n'); line != "up\n" {
				t.Fatal(line, err)
			}
			if err := e.signal(c, unix.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if test.helper == busy {
				if line, err := said.ReadString('\n'); line != "told\n" {
					t.Fatal(line, err)
				}
				time.Sleep(100 * time.Millisecond)
				if st, err := readStat(p.pid); err != nil || st.zombie {
					t.Fatalf("it did not wait for the other: %+v, %v", st, err)
				}
			}
			switch {
			case test.kill:
				if err := e.signal(c, unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
			case test.helper == busy:
				in.Close()
				helper.Wait()
				hold(fmt.Sprintln(p.pid))
			}
			go e.supervise(c)
			select {
			case <-c.done:
			case <-time.After(20 * time.Second):
				t.Fatal("it has not ended")
			}
			if c.Exit.Code != test.code {
				t.Errorf("its code is %d", c.Exit.Code)
			}
		})
	}
}

func TestTheKernelIsAskedToKillADynoAsAWhole(t *testing.T) {
	e := &Engine{cgroups: &cgroups{root: t.TempDir(), parent: "/x", v2: true}}
	dir := e.cgroups.dir("memory", "c")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, granted := range []bool{true, false} {
		c := &container{name: "c"}
		c.Granted = granted
		if _, err := e.endAtOOM(c); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "memory.oom.group")); (err == nil) == granted {
			t.Errorf("with grants %t: %v", granted, err)
		}
	}
}

// awake calls a function whenever somebody asks whether it is done.
type awake struct {
	context.Context
	asked func()
}

func (a awake) Err() error {
	a.asked()
	return nil
}

func TestACopyOfManyDirectoriesBelowALongPathTakesLittleMemory(t *testing.T) {
	const many = 600
	from, to := t.TempDir(), t.TempDir()
	deep := filepath.Join(from, strings.Repeat("/"+strings.Repeat("x", 250), 14))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range many {
		if err := os.Mkdir(filepath.Join(deep, strconv.Itoa(i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before, most, asked := heap(), 0, 0
	ctx := awake{t.Context(), func() {
		if asked++; asked%(many/2) == 0 { // in the midst of them, and near their end
			most = max(most, heap())
		}
	}}
	if err := copyOwned(ctx, from, to, os.Getuid(), 0); err != nil {
		t.Fatal(err)
	}
	if asked != 14+many {
		t.Errorf("%d entries", asked)
	}
	if grown := most - before; grown > 1<<20 {
		t.Errorf("%d directories took %d bytes", many, grown)
	}
}

func TestACopyHasAnEnd(t *testing.T) {
	from := t.TempDir()
	for _, dir := range []string{"a/b", "c"} {
		if err := os.MkdirAll(filepath.Join(from, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for left, fits := range map[int]bool{2: false, 3: true} {
		src, err := os.OpenRoot(from)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		dst, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer dst.Close()
		c := treeCopy{src: src, dst: dst, owner: os.Getuid(), left: left}
		if err := c.copy(t.Context()); (err == nil) != fits {
			t.Errorf("of %d entries: %v", left, err)
		}
	}
}

// DisableIdmap makes an engine work as on kernels before 6.2.
func DisableIdmap(e *Engine) { e.noIdmap.Store(true) }

// CopyTo makes an engine copy slugs onto disks of dynos' sizes, if they are larger than size.
func CopyTo(e *Engine, size int64) { e.copyDisk = size }

// DisableLayers makes an engine work as on kernels before 5.19.
func DisableLayers(e *Engine) { e.noLayers.Store(true) }

// UseNameServer makes an engine work as if the host had been told of one more.
func UseNameServer(e *Engine, server netip.Addr) error {
	return e.firewall.allowServers([]netip.Addr{server})
}

// Debian 12's kernel says this of squashfs.
func TestAFileSystemThatCannotBeIdmappedIsKnown(t *testing.T) {
	if err := bindIdmapped("/proc", filepath.Join(t.TempDir(), "to"), 0, 1<<20); !errors.Is(err, errNoIdmap) {
		t.Errorf("got %v", err)
	}
}

func TestOldKernelsAreTold(t *testing.T) {
	for release, ok := range map[string]bool{"4.19.0-27-amd64": false, "5.10.0-32-amd64": false, "5.12.0": true, "5.15.0-91-generic": true, "6.18.44": true, "odd": true} {
		if err := newEnough(release); (err == nil) != ok {
			t.Errorf("%s: %v", release, err)
		}
	}
}
