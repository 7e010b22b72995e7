package socket

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// File duplicates a listener's socket, to be handed to another process.
// (*net.TCPListener).File would do, but for this: the file's Fd, which os/exec calls, makes the
// socket blocking, not only for the file but for all who have the socket. One
// that accepts on it just then hangs in accept(2): it does not end when its
// listener is closed, but takes one more connection, for nobody.
func File(l *net.TCPListener, name string) (*os.File, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	if e := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
