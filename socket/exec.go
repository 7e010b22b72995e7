package socket

import (
	"fmt"
	"os"
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
	for i, fd := range fds { // whatever was there is of no use any more
		if err := unix.Dup3(fd, firstFD+i, 0); err != nil {
			return fmt.Errorf("socket %q: %w", names[i], err)
		}
	}
	if err := unix.Exec(path, args, env); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
