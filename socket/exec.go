package socket

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

// Exec begins another program in this process (execve(2)), with sockets handed
// over to it. It returns only if that fails.
func Exec(path string, args []string, files []hoist.NamedFile) error {
	var names []string
	var fds []int
	for _, f := range files { // out of the way of where they will be
		fd, err := unix.FcntlInt(f.File.Fd(), unix.F_DUPFD_CLOEXEC, firstFD+len(files))
		if err != nil {
			return fmt.Errorf("socket %q: %w", f.Name, err)
		}
		names, fds = append(names, f.Name), append(fds, fd)
	}
	env := os.Environ()
	if len(files) > 0 {
		env = append(env, "LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	}
	failed := make(chan error)
	go func() {
		// A thread with file descriptors of its own: where the sockets go there may be those that Go
		// waits with in other threads, and it ends the process if they become something else.
		runtime.LockOSThread() // for good: if this fails the thread ends
		failed <- replace(path, args, env, names, fds)
	}()
	return <-failed
}

// replace executes a program from a thread that shares its file descriptors
// with no other, with fds as those from firstFD on.
func replace(path string, args, env, names []string, fds []int) error {
	if err := unix.Unshare(unix.CLONE_FILES); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	for i, fd := range fds {
		if err := unix.Dup3(fd, firstFD+i, 0); err != nil {
			return fmt.Errorf("socket %q: %w", names[i], err)
		}
	}
	if err := unix.Exec(path, args, env); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
