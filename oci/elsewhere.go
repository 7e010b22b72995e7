package oci

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// elsewhere calls f where enter (setns(2)) leads, on a thread that ends with it.
func elsewhere(enter, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, nor should it ever be elsewhere.
			done <- elsewhere(enter, f)
			runtime.UnlockOSThread()
			return
		}
		// Root and working directory are otherwise all threads'.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			done <- fmt.Errorf("oci: a thread of its own: %w", err)
			return
		}
		if err := enter(); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}
