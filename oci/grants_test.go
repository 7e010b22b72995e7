package oci_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/oci"
)

func TestADynoInTheHostsNetworkHasWhatItWasGrantedAndNoMore(t *testing.T) {
	e := newEngine(t)
	before := traces(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const ids = 0x0f00 << 16
	dir := t.TempDir()
	if err := os.Chown(dir, ids+1000, ids+1000); err != nil {
		t.Fatal(err)
	}
	s := spec(`
		echo user=$(id -u)
		echo sockets=$LISTEN_FDS:$LISTEN_FDNAMES:$(readlink /proc/self/fd/3 | grep -c socket)
		echo open=$(ls -l /proc/self/fd | grep -c socket:)
		echo written=$(echo x > /var/lib/hoist/kept && cat /var/lib/hoist/kept)
		echo caps=$(grep -c 'Cap.*:.0000000000000000' /proc/self/status)
		echo mount=$(mount -t tmpfs x /tmp 2>/dev/null || echo denied)
		echo eth=$(grep -c . /proc/net/dev)
		exec 9<>/dev/tcp/127.0.0.1/$TO && echo connected
	`)
	s.Env = map[string]string{"TO": fmt.Sprint(l.Addr().(*net.TCPAddr).Port)}
	s.Grants = &hoist.Grants{HostNetwork: true, IDs: ids, Files: []hoist.NamedFile{{Name: "http", File: file}},
		Binds: []hoist.Bind{{Source: dir, Target: "/var/lib/hoist"}}}
	out, exit := run(t, e, s)
	for _, want := range []string{"user=1000\n", "sockets=1:http:1\n", "open=1\n", "written=x\n", "caps=5\n", "mount=denied\n", "connected\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s (%+v)", want, out, exit)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "kept")); err != nil || string(text) != "x\n" {
		t.Errorf("kept: %q, %v", text, err)
	}
	same(t, before)
}

func TestGrantsThatMakeNoSenseAreRefused(t *testing.T) {
	e := newEngine(t)
	for _, g := range []hoist.Grants{
		{HostNetwork: true}, {IDs: 4711},
		{IDs: 1 << 16, Binds: []hoist.Bind{{Source: "/tmp", Target: "/etc"}}},
		{IDs: 1 << 16, Binds: []hoist.Bind{{Source: "tmp", Target: "/var/lib/hoist"}}},
	} {
		s := spec("true")
		s.Grants = &g
		if err := e.Start(t.Context(), s); err == nil {
			t.Errorf("%+v was granted", g)
		}
	}
}

// A privileged container runs an engine of its own with containers in it,
// which end with it.
func TestContainersInAContainer(t *testing.T) {
	outer := newEngine(t)
	before := traces(t)
	inner := config(t)
	const kept = "/var/lib/hoist"
	dir := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	image := slug(t, map[string]string{"hello": "nested world"})
	if err := os.Link(image, filepath.Join(dir, "slug")); err != nil {
		t.Fatal(err)
	}
	inner.Dir, inner.Log = kept+"/engine", nil
	inside := spec(`cat hello; echo; id -u; cat /proc/self/uid_map; (exec 9<>/dev/tcp/127.0.0.1/22) 2>/dev/null || echo alone; sleep 1000`)
	inside.SlugPath, inside.Labels = kept+"/slug", map[string]string{"watch": "yes"}
	data, err := json.Marshal(supervised{inner, []hoist.ContainerSpec{inside}})
	if err != nil {
		t.Fatal(err)
	}
	s := spec("/var/lib/hoist/program")
	s.SlugPath = image
	s.Env = map[string]string{supervisorEnv: string(data)}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "program"), text, 0o755); err != nil {
		t.Fatal(err)
	}
	s.Grants = &hoist.Grants{HostNetwork: true, Privileged: true, Binds: []hoist.Bind{{Source: dir, Target: kept}}}
	start(t, outer, s)
	var out lines
	ended := make(chan hoist.Exit, 1)
	go func() {
		exit, _ := outer.Watch(t.Context(), s.ID, &out)
		ended <- exit
	}()
	eventually(t, func() bool { return strings.Contains(out.String(), "alone") || len(ended) > 0 }, out.String)
	for _, want := range []string{"line nested world\n", "line 1000\n", "line alone\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out.String())
		}
	}
	if strings.Contains(out.String(), " 0          0 4294967295") {
		t.Error("a nested container has no user namespace of its own")
	}
	if err := outer.Signal(t.Context(), s.ID, int(syscall.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	<-ended
	if err := outer.Remove(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	// What is in the network namespace of the host is the next engine's to remove.
	inner.Dir = filepath.Join(dir, "engine")
	again, err := oci.New(inner)
	if err != nil {
		t.Fatal(err)
	}
	list, _ := again.List(t.Context())
	for _, c := range list {
		if c.Running || !c.IP.IsValid() || !inner.Network.Contains(c.IP) {
			t.Errorf("after its end: %+v", c)
		}
	}
	if err := again.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, before)
}
