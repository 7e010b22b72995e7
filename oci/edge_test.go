package oci

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAnEdgeLooksAway(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	defer r.Close()
	defer w.Close()
	e, err := newEdge(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	var steps, away atomic.Int32
	ended := make(chan error, 1)
	go func() {
		ended <- e.wait(func() bool {
			steps.Add(1)
			for away.Load() == 1 {
				time.Sleep(time.Millisecond)
			}
			return false
		})
	}()
	write := func(n int) {
		t.Helper()
		for range n {
			if _, err := w.WriteString("x\n"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	is := func(n int32, when string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); steps.Load() < n && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond)
		if got := steps.Load(); got != n {
			t.Fatalf("%d steps %s, want %d", got, when, n)
		}
	}
	is(1, "at first")
	write(1)
	is(2, "after a line")
	is(2, "though the line is still there")
	if err := e.lookAway(); err != nil {
		t.Fatal(err)
	}
	write(20)
	is(2, "while it looks away")
	if err := e.look(); err != nil {
		t.Fatal(err)
	}
	is(3, "when it looks again")
	away.Store(1)
	write(1)
	is(4, "after another line")
	write(20) // while the step is at work
	is(4, "in a step")
	away.Store(0)
	is(5, "for all that came meanwhile")
	e.file.Close()
	if err := <-ended; err == nil {
		t.Error("closed, and no error")
	}
}
