package seed_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/seed"
)

// A panic in a goroutine of a component takes the whole seed. Its keeper starts
// it again; what was asked to stop stays stopped.
func TestASeedThatCrashesIsStartedAgain(t *testing.T) {
	h := newHouse(t, "10.240.8.0/24")
	h.must("seed", "--daemon")
	first := h.status().PID
	if err := syscall.Kill(first, syscall.SIGABRT); err != nil { // ends as a panic does, with all stacks
		t.Fatal(err)
	}
	crashed := time.Now()
	eventually(t, "another seed answers", func() bool {
		out, err := h.run("seed", "status")
		return err == nil && !strings.Contains(out, "process "+strconv.Itoa(first)+",")
	})
	if took := time.Since(crashed); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	eventually(t, "the API answers again", h.answers)
	if out := h.must("seed", "logs", "-n", "1000"); !strings.Contains(out, "its keeper starts it again") || !strings.Contains(out, "goroutine") {
		t.Errorf("the log does not say what happened:\n%s", out)
	}
	h.must("seed", "stop")
	time.Sleep(time.Second)
	if out, err := h.run("seed", "status"); err == nil {
		t.Errorf("it was stopped, and runs: %s", out)
	}
}

// The program is away for a moment, as in an upgrade, or does not start: its keeper goes on, and the log says
// why. Who stops the platform meanwhile has it stopped.
func TestAKeeperGoesOnUntilItIsStopped(t *testing.T) {
	h := newHouse(t, "10.240.11.0/24")
	program := filepath.Join(t.TempDir(), "hoist")
	put := func(text []byte) {
		t.Helper()
		if err := errors.Join(os.WriteFile(program+".new", text, 0o755), os.Rename(program+".new", program)); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(hoist)
	if err != nil {
		t.Fatal(err)
	}
	put(good)
	cmd := exec.Command(program, "seed", "--daemon")
	cmd.Env = h.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	crash := func() {
		t.Helper()
		pid := h.status().PID
		if err := errors.Join(os.Remove(program), syscall.Kill(pid, syscall.SIGKILL)); err != nil {
			t.Fatal(err)
		}
	}
	logged := func(text string) func() bool {
		return func() bool { return strings.Contains(h.must("seed", "logs", "-n", "1000"), text) }
	}
	crash()
	eventually(t, "the log says that there is no program", logged("no such file"))
	put([]byte("#!/bin/sh\necho the stars are wrong >&2\nexit 1\n"))
	eventually(t, "the log says why it does not start", logged("the stars are wrong"))
	put(good)
	eventually(t, "the API answers again", h.answers)

	crash()
	eventually(t, "it has ended", func() bool { return !seed.Running(seed.Settings{DataDir: h.dir}) })
	if out := h.must("seed", "stop"); !strings.Contains(out, "has stopped") {
		t.Error(out)
	}
	put(good)
	time.Sleep(2 * time.Second)
	if s := (seed.Settings{DataDir: h.dir}); seed.Running(s) || seed.Kept(s) {
		t.Error("it was stopped, and runs")
	}
}

// A seed that cannot start says why, and nobody tries again behind the person's back.
func TestASeedThatCannotStartIsNotKept(t *testing.T) {
	h := newHouse(t, "10.240.9.0/24")
	h.env = append(h.env, "HOIST_SSH_PORT="+strconv.Itoa(h.http))
	out, err := h.run("seed", "--daemon")
	if err == nil || !strings.Contains(out, strconv.Itoa(h.http)) {
		t.Errorf("%v: %s", err, out)
	}
}

// What was asked to end, and ended, did not fail.
func TestAComponentThatIsAskedToEndEndsWithZero(t *testing.T) {
	h := newHouse(t, "10.240.10.0/24")
	h.must("seed", "--daemon", "--without", "git,compile,logs,router")
	for _, name := range []string{"api", "git", "compile", "logs", "router"} {
		cmd := exec.Command(hoist, "seed", "exec", name, hoist, name)
		cmd.Env = append(h.env, "HOIST_SSH_ADDR=127.0.0.1:0")
		var said strings.Builder
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		cmd.Process.Signal(os.Interrupt)
		if name != "api" {
			cmd.Process.Signal(syscall.SIGTERM)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, said.String())
		}
	}
}
