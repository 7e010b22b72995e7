package oci

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

// Signal sends a signal to every process of the container. The kernel keeps signals
// from the first process of a PID namespace that it has no handler for
// (pid_namespaces(7)); since a dyno's command is that process, such a signal
// is made to do what it does elsewhere, when the others have ended.
func (e *Engine) Signal(_ context.Context, id hoist.ID, sig int) error {
	c, err := e.container(id)
	if err != nil {
		return err
	}
	return e.signal(c, unix.Signal(sig))
}

func (e *Engine) signal(c *container, sig unix.Signal) error {
	if c.ended() || c.process == nil || sig == 0 { // an adopted one may have no process any more
		return nil
	}
	if sig == unix.SIGKILL {
		return c.process.kill(sig)
	}
	ends := endsByDefault(sig) && unhandled(c.process.pid, sig)
	if ends {
		if err := c.setEndedBy(sig); err != nil {
			return err
		}
	}
	var others []int
	if !c.Granted {
		others = e.others(c)
	}
	if ends && len(others) > 0 { // it runs nothing after those that end now
		if err := c.process.kill(unix.SIGSTOP); err != nil {
			return err
		}
	}
	for _, pid := range others {
		if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH {
			return fmt.Errorf("oci: signal %s: %w", c.ID, err)
		}
	}
	switch {
	case !ends:
		return c.process.kill(sig)
	case len(others) == 0:
		return c.process.kill(unix.SIGKILL)
	}
	go e.endLast(c)
	return nil
}

// others are the container's processes but the first.
func (e *Engine) others(c *container) []int {
	return slices.DeleteFunc(e.cgroups.pids(c.name), func(pid int) bool { return pid == c.process.pid })
}

// endLast kills the first process of a container when there is no other: the kernel takes all
// with it, and they may have something to do at the end.
func (e *Engine) endLast(c *container) {
	for len(e.others(c)) > 0 {
		select {
		case <-c.done:
			return
		case <-time.After(20 * time.Millisecond):
		}
		if e.closed.Load() { // the next engine is asked to signal, too
			return
		}
	}
	c.process.kill(unix.SIGKILL)
}

// endsByDefault reports whether a signal ends a process that does not
// handle it (signal(7)).
func endsByDefault(sig unix.Signal) bool {
	switch sig {
	case unix.SIGCHLD, unix.SIGCONT, unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGURG, unix.SIGWINCH:
		return false
	}
	return true
}

// unhandled reports whether a process neither catches, ignores nor blocks a signal.
func unhandled(pid int, sig unix.Signal) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "SigCgt" && name != "SigIgn" && name != "SigBlk" {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil || mask&(1<<(sig-1)) != 0 {
			return false
		}
	}
	return true
}
