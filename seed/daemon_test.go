package seed

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test program is also the keeper in these tests, and the seed that it keeps.
func init() {
	switch seed := os.Getenv("SEED_TEST_PROGRAM"); seed {
	case "":
	case "keeper":
		ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		os.Setenv("SEED_TEST_PROGRAM", os.Getenv("SEED_TEST_SEED"))
		code, err := Keep(ctx, Settings{DataDir: os.Getenv("SEED_TEST_DIR")}, testProgram(), nil)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	default:
		seeds[seed](filepath.Join(os.Getenv("SEED_TEST_DIR"), "note"))
	}
}

func testProgram() string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return self
}

// seeds are what programs do instead of one.
var seeds = map[string]func(note string){
	"cannot start": func(string) { panic("the stars are wrong") },
	"fails once it has started": func(note string) {
		if _, err := os.Stat(note); err == nil {
			os.Exit(0)
		}
		if err := NotifyStarted(); err != nil {
			panic(err)
		}
		os.WriteFile(note, nil, 0o600)
		os.Exit(1)
	},
	"panics when started": panicsWhenStarted,
	"is replaced when it is to end": func(note string) {
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		os.WriteFile(note, nil, 0o600)
		<-asked
		syscall.Exec("/bin/sleep", []string{"sleep", "60"}, nil)
	},
	"goes on as another program": goesOn,
}

// keep starts a keeper of such a seed. wait returns how it ended and what was said.
func keep(t *testing.T, seed string) (keeper *os.Process, dir string, wait func() (code int, said string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	dir = t.TempDir()
	cmd := exec.CommandContext(ctx, testProgram())
	cmd.Env = append(os.Environ(), "SEED_TEST_PROGRAM=keeper", "SEED_TEST_SEED="+seed, "SEED_TEST_DIR="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process, dir, func() (int, string) {
		cmd.Wait()
		if ctx.Err() != nil {
			t.Error("its keeper does not end")
		}
		return cmd.ProcessState.ExitCode(), out.String()
	}
}

// Whatever its end and its time: who started it waits for its keeper, and reads why.
func TestASeedThatEndsBeforeItHasStartedIsNotStartedAgain(t *testing.T) {
	_, _, wait := keep(t, "cannot start")
	if code, said := wait(); code != 2 || !strings.Contains(said, "the stars are wrong") {
		t.Errorf("code %d: %s", code, said)
	}
}

// It may be another program then, which took the first one's place and has not proved itself.
func TestASeedThatFailsJustAfterItHasStartedIsStartedAgain(t *testing.T) {
	_, dir, wait := keep(t, "fails once it has started")
	if code, said := wait(); code != 0 {
		t.Errorf("code %d: %s", code, said)
	}
	if log, err := os.ReadFile(filepath.Join(dir, "seed.log")); !strings.Contains(string(log), "its keeper starts it again") {
		t.Errorf("%s, %v", log, err)
	}
}

// The signal is lost when another program begins in the seed's process just then.
func TestASeedIsAskedToEndUntilItHas(t *testing.T) {
	keeper, dir, wait := keep(t, "is replaced when it is to end")
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "note")); err == nil {
			break
		} else if time.Since(start) > 20*time.Second {
			t.Fatal(err)
		}
	}
	keeper.Signal(syscall.SIGTERM)
	if code, said := wait(); code != 1 {
		t.Errorf("code %d: %s", code, said)
	}
}

func TestWhyASeedCannotStartIsSaidThoughItsKeeperGoesOn(t *testing.T) {
	dir := t.TempDir()
	program, note := filepath.Join(dir, "hoist"), filepath.Join(dir, "note")
	text := fmt.Sprintf("#!/bin/sh\necho ' !    the stars are wrong' >&2\nexec >%[1]s.new 2>&1\necho $$\nmv %[1]s.new %[1]s\nexec sleep 60\n", note)
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(note); err == nil { // it has said all
				time.Sleep(time.Second)
				cancel()
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	began := time.Now()
	if err := startProcess(ctx, Settings{}, program, nil); err == nil || err.Error() != "the stars are wrong" {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("it took %s", took)
	}
	said, _ := os.ReadFile(note)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(said))); err == nil {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}
