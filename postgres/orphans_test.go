package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// One of a killed server's processes does not see its end: it does not keep the next server from starting.
func TestAKilledServerStartsAgainAtOnce(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "hoist-pg")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o711)
	s := &Server{Dir: dir + "/pg", Password: "test", Mortal: true}
	if err := s.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := func() (ended chan error) {
		ended = make(chan error, 1)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		t.Cleanup(func() { cancel(); <-done })
		go func() { defer close(done); ended <- s.Run(ctx) }()
		return ended
	}
	ready := func(limit time.Duration) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		if err := s.Ready(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	ended := start()
	ready(time.Minute)
	main := s.running()
	stuck := 0
	for _, pid := range s.processes() {
		if title, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(title), "checkpointer") {
			stuck = pid
		}
	}
	if err := errors.Join(syscall.Kill(stuck, syscall.SIGSTOP), syscall.Kill(main, syscall.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	<-ended
	time.Sleep(500 * time.Millisecond)
	if left := s.processes(); !slices.Equal(left, []int{stuck}) {
		t.Fatalf("%v are left, not only process %d", left, stuck)
	}
	start()
	ready(20 * time.Second)
}
