package postgres

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// outside starts a process in another mount namespace: what outlives us would
// else keep ours, with all that is mounted there.
func outside(namespace int, start func() error) error {
	done := make(chan error)
	go func() {
		// The thread is in the other namespace for good: it ends with this goroutine.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FS) // setns(2) wants it
		if err == nil {
			err = unix.Setns(namespace, unix.CLONE_NEWNS)
		}
		if err != nil {
			done <- fmt.Errorf("the mount namespace to start postgres in: %w", err)
			return
		}
		done <- start()
	}()
	return <-done
}
