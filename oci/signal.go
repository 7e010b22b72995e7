package oci

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

// Signal sends a signal to every process of the container. The kernel keeps signals
// from the first process of a PID namespace that it has no handler for
// (pid_namespaces(7)); since a dyno's command is that process, such a signal
// is made to do what it does elsewhere.
func (e *Engine) Signal(_ context.Context, id hoist.ID, sig int) error {
	c, err := e.container(id)
	if err != nil {
		return err
	}
	return e.signal(c, unix.Signal(sig))
}

func (e *Engine) signal(c *container, sig unix.Signal) error {
	if c.ended() || sig == 0 {
		return nil
	}
	if sig == unix.SIGKILL {
		return c.process.kill(sig)
	}
	for _, pid := range e.cgroups.pids(c.name) {
		if pid == c.process.pid || c.Granted {
			continue
		}
		if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH {
			return fmt.Errorf("oci: signal %s: %w", c.ID, err)
		}
	}
	if endsByDefault(sig) && unhandled(c.process.pid, sig) {
		if err := c.setEndedBy(sig); err != nil {
			return err
		}
		sig = unix.SIGKILL
	}
	return c.process.kill(sig)
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
