package oci

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// endAtOOM makes the container end as a whole when its memory is used up. The kernel would kill one process, and
// what is left of a dyno, a web server without its workers say, looks as if it ran. Version 2 has
// a switch for that; version 1 tells us, until stop is called. The platform's own see to their processes themselves.
func (e *Engine) endAtOOM(c *container) (stop func(), err error) {
	stop = func() {}
	c.mu.Lock()
	granted := c.Granted
	c.mu.Unlock()
	if granted {
		return stop, nil
	}
	dir := e.cgroups.dir("memory", c.name)
	if e.cgroups.v2 {
		if err := os.WriteFile(filepath.Join(dir, "memory.oom.group"), []byte("1"), 0); err != nil {
			return stop, fmt.Errorf("oci: %w", err)
		}
		return stop, nil
	}
	events, err := oomEvents(dir)
	if err != nil {
		return stop, err
	}
	go func() {
		var count [8]byte
		for !e.cgroups.oomKilled(c.name) {
			if _, err := events.Read(count[:]); err != nil {
				return
			}
			for range 100 { // the event comes first
				if e.cgroups.oomKilled(c.name) {
					break
				}
				pause()
			}
		}
		c.process.kill(unix.SIGKILL)
	}()
	return func() { events.Close() }, nil
}

// oomEvents returns what can be read whenever the memory of a version 1 group is used up
// (https://docs.kernel.org/admin-guide/cgroup-v1/memory.html#oom-control).
func oomEvents(dir string) (*os.File, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("oci: eventfd: %w", err)
	}
	events := os.NewFile(uintptr(fd), "oom")
	control, err := os.Open(filepath.Join(dir, "memory.oom_control"))
	if err == nil {
		defer control.Close()
		err = os.WriteFile(filepath.Join(dir, "cgroup.event_control"), fmt.Appendf(nil, "%d %d", fd, control.Fd()), 0)
	}
	if err != nil {
		events.Close()
		return nil, fmt.Errorf("oci: %w", err)
	}
	return events, nil
}
