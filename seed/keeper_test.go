package seed_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
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
