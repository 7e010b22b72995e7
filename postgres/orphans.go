package postgres

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// endOrphans ends what is left of a server of this data directory that was killed. Most of its
// processes see that and end by themselves, but not one that waits for a lock of another that was
// killed; and while one is there the server does not start ("pre-existing shared memory block
// is still in use").
func (s *Server) endOrphans() {
	main, pids := s.recorded(), s.processes()
	if slices.Contains(pids, max(main, -main)) {
		return // it lives, if on another port: the new one says so
	}
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended
		}
		if s.has(pid) {
			unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(10*time.Second/time.Millisecond))
		}
		unix.Close(fd)
	}
}

// processes are those of servers of this data directory.
func (s *Server) processes() (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && s.has(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// has reports whether a process is one of a server of this data directory: all of them work in
// it, under the name of the program.
func (s *Server) has(pid int) bool {
	dir, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
	own, err2 := os.Stat(s.dataDir())
	if err != nil || err2 != nil || !os.SameFile(dir, own) {
		return false
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err == nil && string(bytes.TrimSpace(name)) == "postgres"
}
