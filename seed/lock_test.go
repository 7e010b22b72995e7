package seed

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// goesOn is a seed that begins another program in its process.
func goesOn(note string) {
	s := Settings{DataDir: filepath.Dir(note)}
	held, err := lock(s)
	if err == nil {
		err = handOver(held)
	}
	if err == nil {
		err = syscall.Exec("/bin/sleep", []string{"sleep", "60"}, nil)
	}
	panic(err)
}

// A seed that begins another program in its process has no lock for a moment, and there is none but it.
func TestASeedThatIsReplacedRuns(t *testing.T) {
	s := Settings{DataDir: t.TempDir()}
	cmd := exec.Command(testProgram())
	cmd.Env = append(os.Environ(), "SEED_TEST_PROGRAM=goes on as another program", "SEED_TEST_DIR="+s.DataDir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	defer cmd.Process.Kill()
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if name, _ := filepath.EvalSymlinks("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/exe"); filepath.Base(name) == "sleep" || filepath.Base(name) == "coreutils" {
			break
		}
		if time.Since(start) > 20*time.Second {
			t.Fatal("it does not become the other program")
		}
	}
	if !Running(s) {
		t.Error("it is said not to run")
	}
	var running *RunningError
	if _, err := lock(s); !errors.As(err, &running) {
		t.Errorf("another seed may start: %v", err)
	}
	// What takes so long is another process.
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(s.file(seedLock), long, long); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); Running(s); time.Sleep(10 * time.Millisecond) { // its file may not be closed yet
		if time.Since(start) > 20*time.Second {
			t.Fatal("it is waited for without an end")
		}
	}
	if err := os.Chtimes(s.file(seedLock), time.Now(), time.Now()); err != nil || !Running(s) {
		t.Fatal("it does not run any more", err)
	}
	cmd.Process.Kill()
	<-ended
	if Running(s) {
		t.Error("it is said to run")
	}
	held, err := lock(s)
	if err != nil {
		t.Fatal(err)
	}
	held.Close()
	if Running(s) {
		t.Error("the next one is said to run, too")
	}
}
