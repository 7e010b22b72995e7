package oci

import (
	"fmt"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// settle gives a prepared container its /app and its host name.
func (c *container) settle(hostname string) error {
	app, err := unix.OpenTree(unix.AT_FDCWD, c.layers.app, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("oci: open_tree %s: %w", c.layers.app, err)
	}
	defer unix.Close(app)
	return c.process.inside(func() error {
		if err := unix.MoveMount(app, "", unix.AT_FDCWD, filepath.Clean(homeDir), unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("oci: mount %s: %w", homeDir, err)
		}
		if err := unix.Sethostname([]byte(hostname)); err != nil {
			return fmt.Errorf("oci: host name %q: %w", hostname, err)
		}
		return nil
	})
}

// inside calls f in the mount and UTS namespaces of the process, on a thread that
// ends with it.
func (p *process) inside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, nor should it ever be elsewhere.
			done <- p.inside(f)
			runtime.UnlockOSThread()
			return
		}
		err := unix.Unshare(unix.CLONE_FS) // root and working directory are otherwise all threads'
		if err == nil {
			err = p.control(func(fd int) error { return unix.Setns(fd, unix.CLONE_NEWNS|unix.CLONE_NEWUTS) })
		}
		if err != nil {
			done <- fmt.Errorf("oci: enter the container: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}
