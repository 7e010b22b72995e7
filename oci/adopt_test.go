package oci_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/oci"
)

// supervisorEnv makes the test program a supervisor that starts containers and waits to be killed.
const supervisorEnv = "HOIST_TEST_SUPERVISOR"

type supervised struct {
	Config oci.Config
	Specs  []hoist.ContainerSpec
}

func supervisor() int {
	var in supervised
	if err := json.Unmarshal([]byte(os.Getenv(supervisorEnv)), &in); err != nil {
		fmt.Println(err)
		return 1
	}
	in.Config.Log = slog.Default()
	e, err := oci.New(in.Config)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, s := range in.Specs {
		if err := e.Start(context.Background(), s); err != nil {
			fmt.Println(err)
			return 1
		}
		if s.Labels["watch"] != "" {
			go e.Watch(context.Background(), s.ID, each(func(line []byte) { fmt.Printf("line %s\n", line) }))
		}
	}
	fmt.Println("started")
	select {}
}

// supervise starts a supervisor, waits for a line of its output, and kills it with SIGKILL.
func superviseAndKill(t *testing.T, in supervised, until string) {
	t.Helper()
	in.Config.Log = nil
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), supervisorEnv+"="+string(data))
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var seen []string
	for s := bufio.NewScanner(stdout); s.Scan(); {
		if seen = append(seen, s.Text()); s.Text() == until {
			return
		}
	}
	t.Fatalf("supervisor said %q, not %q", seen, until)
}

func adopt(t *testing.T, cfg oci.Config) *oci.Engine {
	t.Helper()
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

func TestKilledSupervisorsContainersAreAdopted(t *testing.T) {
	before := traces(t)
	cfg := config(t)
	s := spec(`i=0; while [ ! -e /tmp/never ]; do echo $i; i=$((i+1)); sleep 0.01; [ $i = 150 ] && exit 7; done`)
	s.Labels = map[string]string{"app": "x"}
	quiet := spec("printf 'half a '; trap 'echo line; exit 3' INT; while :; do sleep 0.05; done")
	quiet.Labels = map[string]string{"watch": "yes"}
	attached := spec("sleep 100")
	attached.Attach = true
	late := spec("sleep 100")
	late.Deadline = time.Now().Add(2 * time.Second)
	superviseAndKill(t, supervised{cfg, []hoist.ContainerSpec{s, quiet, attached, late}}, "started")

	e := adopt(t, cfg)
	list, err := e.List(t.Context())
	if err != nil || len(list) != 4 {
		t.Fatalf("found %v, %v", list, err)
	}
	for _, c := range list {
		if c.ID == s.ID && (c.Labels["app"] != "x" || !c.Running || !c.IP.IsValid() || c.StartedAt.IsZero()) {
			t.Errorf("found %+v", c)
		}
	}
	var want strings.Builder
	for i := range 150 {
		fmt.Fprintln(&want, i)
	}
	if out, exit := watch(t, e, s.ID); out.String() != want.String() || exit.Code != 7 {
		t.Errorf("got %q, %+v", out, exit)
	}
	if err := e.Signal(t.Context(), quiet.ID, int(syscall.SIGINT)); err != nil {
		t.Error(err)
	}
	if out, exit := watch(t, e, quiet.ID); out.String() != "half a line\n" || exit.Code != 3 {
		t.Errorf("got %q, %+v", out, exit)
	}
	if _, exit := watch(t, e, late.ID); !exit.TimedOut {
		t.Errorf("deadline: got %+v", exit)
	}
	watch(t, e, attached.ID) // ended, as nobody is attached any more
	if out, exit := run(t, e, spec("echo new")); out != "new\n" || exit.Code != 0 {
		t.Errorf("a new one got %q, %+v", out, exit)
	}
	if err := e.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, before)
}

func TestContainerThatEndsUnsupervisedIsFoundEnded(t *testing.T) {
	cfg := config(t)
	s := spec("echo lost; exit 7")
	superviseAndKill(t, supervised{cfg, []hoist.ContainerSpec{spec("sleep 0.1"), s}}, "started")
	time.Sleep(200 * time.Millisecond)
	e := adopt(t, cfg)
	_, exit := watch(t, e, s.ID)
	if exit.Code != 7 && exit.Code != -1 { // 7 if it ended before the supervisor
		t.Fatalf("got %+v", exit)
	}
	if err := e.Remove(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
}

func TestHalfMadeContainersAreRemoved(t *testing.T) {
	before := traces(t)
	cfg := config(t)
	var specs []hoist.ContainerSpec
	for range 30 {
		specs = append(specs, spec("sleep 100"))
	}
	specs[0].Labels = map[string]string{"watch": "yes"}
	specs[0].Command = "echo up; sleep 100"
	superviseAndKill(t, supervised{cfg, specs}, "line up") // in the midst of starting the others
	e := adopt(t, cfg)
	list, err := e.List(t.Context())
	if err != nil || len(list) == 0 || len(list) == len(specs) {
		t.Fatalf("found %d, %v", len(list), err)
	}
	if err := e.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, before)
}

// An engine is killed while it removes containers.
func TestHalfRemovedContainersAreRemoved(t *testing.T) {
	before := traces(t)
	cfg := config(t)
	s := spec("exit 3")
	s.Labels = map[string]string{"watch": "yes"}
	superviseAndKill(t, supervised{cfg, []hoist.ContainerSpec{s}}, "started")
	if err := os.Remove(filepath.Join(cfg.Dir, "containers", s.ID, "out")); err != nil {
		t.Fatal(err)
	}
	e := adopt(t, cfg)
	if list, err := e.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("found %v, %v", list, err)
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, "containers", s.ID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
	if err := e.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, before)
}

func TestOneEngineAtATime(t *testing.T) {
	cfg := config(t)
	adopt(t, cfg)
	if _, err := oci.New(cfg); err == nil {
		t.Fatal("a second engine on the same directory")
	}
}
