package e2e

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// undo is what has to be undone even when the tests are told to stop: platforms are
// daemons, and mounts stay.
var undo struct {
	sync.Mutex
	todo []func() error
}

// atEnd returns f as what is done once: by whoever calls it, or when the
// tests are told to stop.
func atEnd(f func() error) func() error {
	once := sync.OnceValue(f)
	undo.Lock()
	defer undo.Unlock()
	undo.todo = append(undo.todo, once)
	return once
}

// undoOnSignal has all undone, the last first, when the tests are told to stop.
func undoOnSignal() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-told
		signal.Ignore(syscall.SIGPIPE) // who reads what we say may have ended already
		undo.Lock()                    // for good
		for _, f := range slices.Backward(undo.todo) {
			if err := f(); err != nil {
				fmt.Fprintln(os.Stderr, "e2e:", err)
			}
		}
		internet.close()
		os.RemoveAll(filepath.Dir(hoistBin))
		os.Exit(130)
	}()
}
