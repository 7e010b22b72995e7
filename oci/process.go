package oci

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is a container's first process, which may or may not be our child.
type process struct {
	pid  int
	file *os.File // pidfd, in the poller
}

// openProcess opens the process pid if it is still the one that started at start.
func openProcess(pid int, start uint64) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("oci: process %d: %w", pid, err)
	}
	p := &process{pid: pid, file: os.NewFile(uintptr(fd), "pidfd")}
	if now, err := startTime(pid); start != 0 && (err != nil || now != start) {
		p.file.Close()
		return nil, fmt.Errorf("oci: process %d: %w", pid, unix.ESRCH)
	}
	return p, nil
}

// wait waits for the process's end without holding a thread and returns its
// exit code, 128+n for signal n. Of a process that is not our child, because an
// earlier supervisor started it, kernels before 6.15 do not say: -1.
func (p *process) wait() int {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return -1
	}
	code := -1
	err = conn.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(poll, 0); err == nil && n == 0 {
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
	// Another process is its parent. The kernel tells once that has reaped it.
	for range 100 {
		info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
		if err := unix.IoctlPidfdInfo(fd, &info); err != nil && !errors.Is(err, unix.ESRCH) {
			return -1
		} else if err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0 {
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
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return err
	}
	if errors.Is(sent, unix.ESRCH) {
		return nil
	}
	return sent
}

// startTime returns when a process started, in clock ticks since boot: with
// the pid it names a process for ever (proc(5), field 22 of stat).
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	s := string(data)
	fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(fields) < 20 {
		return 0, errors.New("oci: unknown format of /proc/PID/stat")
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
