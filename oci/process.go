package oci

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is a container's first process, which may or may not be our child.
type process struct {
	pid   int
	start uint64   // see processStat
	file  *os.File // pidfd, in the poller
}

// openProcess opens the process pid, which if start is not 0 must have started then.
func openProcess(pid int, start uint64) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("oci: process %d: %w", pid, err)
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	st, err := readStat(pid)
	if err == nil && start != 0 && st.start != start {
		err = unix.ESRCH
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("oci: process %d: %w", pid, err)
	}
	return &process{pid: pid, start: st.start, file: file}, nil
}

// wait waits for the process's end without holding a thread and returns its
// exit code, 128+n for signal n. Of a process that is not our child, because an
// earlier supervisor started it, kernels before 6.15 do not say if its new
// parent is quicker than we are: -1.
func (p *process) wait() int {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return -1
	}
	code := -1
	err = conn.Read(func(fd uintptr) bool {
		if !ready(int(fd), unix.POLLIN) {
			return false
		}
		code = p.reap(int(fd))
		return true
	})
	if err != nil {
		return -1 // closed: nobody waits any more
	}
	return code
}

// reap collects the exit code of a process that ended.
func (p *process) reap(fd int) int {
	var status unix.WaitStatus
	for {
		pid, err := unix.Wait4(p.pid, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && pid == p.pid {
			return exitCode(status)
		}
		break
	}
	// Another process is its parent. /proc has the code until that has
	// reaped it, and the pidfd from then on.
	for range 100 {
		if st, err := readStat(p.pid); err == nil && st.start == p.start {
			if st.zombie {
				return exitCode(st.exit)
			}
		} else {
			info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
			if err := unix.IoctlPidfdInfo(fd, &info); err != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
				return -1
			}
			return exitCode(unix.WaitStatus(info.Exit_code))
		}
		pause()
	}
	return -1
}

func exitCode(s unix.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}

// kill sends a signal to the process itself.
func (p *process) kill(sig unix.Signal) error {
	err := p.control(func(fd int) error { return unix.PidfdSendSignal(fd, sig, nil, 0) })
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// control calls f with the pidfd.
func (p *process) control(f func(fd int) error) error {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// processStat is what /proc/PID/stat says (proc(5)).
type processStat struct {
	name    string
	zombie  bool
	session int
	start   uint64 // in clock ticks since boot: with the pid it names a process for ever
	exit    unix.WaitStatus
}

func readStat(pid int) (st processStat, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return st, err
	}
	// The second field, the program's name, may have spaces and parentheses.
	begin, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	fields := strings.Fields(string(data[end+1:]))
	if begin < 0 || end < begin || len(fields) < 50 {
		return st, errors.New("oci: unknown format of /proc/PID/stat")
	}
	st.name = string(data[begin+1 : end])
	st.zombie = fields[0] == "Z"
	if st.session, err = strconv.Atoi(fields[6-3]); err != nil {
		return st, err
	}
	if st.start, err = strconv.ParseUint(fields[22-3], 10, 64); err != nil {
		return st, err
	}
	exit, err := strconv.ParseUint(fields[52-3], 10, 32)
	st.exit = unix.WaitStatus(exit)
	return st, err
}

// reapHelpers reaps the processes of a runtime that it forked and did not wait
// for: they are our children now. Those of the same name that we started
// ourselves, and others wait for, are in our session; a container's first
// process has another name.
func reapHelpers(name string) {
	own, err := unix.Getsid(0)
	if err != nil {
		return
	}
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return
	}
	for _, list := range lists {
		data, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that ended
		}
		for _, word := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(word)
			if err != nil {
				continue
			}
			if st, err := readStat(pid); err == nil && st.zombie && st.name == name && st.session != own {
				unix.Wait4(pid, nil, unix.WNOHANG, nil)
			}
		}
	}
}
