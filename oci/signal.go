package oci

import (
	"context"
	"errors"
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
// is made to do what it does elsewhere, when the others that it ends have ended.
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
		return errors.Join(c.setEndedBy(0), c.process.kill(sig)) // what was sent before did not end it in time
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
	var told []int
	for _, pid := range others {
		if !ignores(pid, sig) {
			told = append(told, pid)
		}
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
	go e.endLast(c, sig, told)
	return nil
}

// others are the container's processes but the first.
func (e *Engine) others(c *container) []int {
	return slices.DeleteFunc(e.cgroups.pids(c.name), func(pid int) bool { return pid == c.process.pid })
}

// endLast kills the first process of a container when there is no other that sig has told to end: the
// kernel takes all with it, and they may have something to do at the end. Who ignores the signal may do so
// because it ends with the first process, as the helpers of a program do; but who was told may ignore it from then on.
func (e *Engine) endLast(c *container, sig unix.Signal, told []int) {
	for slices.ContainsFunc(e.others(c), func(pid int) bool { return slices.Contains(told, pid) || !ignores(pid, sig) }) {
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
	set, err := signals(pid, "SigCgt", "SigIgn", "SigBlk")
	return err == nil && set&(1<<(sig-1)) == 0
}

func ignores(pid int, sig unix.Signal) bool {
	set, err := signals(pid, "SigIgn")
	return err == nil && set&(1<<(sig-1)) != 0
}

// signals returns the signals in any of a process's sets (proc_pid_status(5)), signal n as bit n-1.
func signals(pid int, sets ...string) (all uint64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		if !slices.Contains(sets, name) {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return 0, err
		}
		all |= set
	}
	return all, nil
}
