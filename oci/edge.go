package oci

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// edge waits for what comes into a pipe, and can look away from it. Go's poller cannot: a program
// that writes a line at a time would wake this process up for each, also when it is about to read them
// all. So the poller has an epoll that only the pipe is in (epoll(7) allows that).
type edge struct {
	pipe, epoll int
	file        *os.File // the epoll, in the poller
}

func newEdge(pipe int) (*edge, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("oci: epoll: %w", err)
	}
	err = unix.SetNonblock(fd, true) // or the poller does not take it
	e := &edge{pipe, fd, os.NewFile(uintptr(fd), "epoll")}
	if err == nil {
		err = e.set(unix.EPOLL_CTL_ADD, unix.EPOLLIN)
	}
	if err != nil {
		e.file.Close()
		return nil, fmt.Errorf("oci: epoll: %w", err)
	}
	return e, nil
}

func (e *edge) set(op int, events uint32) error {
	return unix.EpollCtl(e.epoll, op, e.pipe, &unix.EpollEvent{Events: events | unix.EPOLLET})
}

// wait calls step at once and whenever something has come since it was called last, until it is done.
// Others may end that by closing the file, which waits for step, or by its deadline.
func (e *edge) wait(step func() (done bool)) error {
	conn, err := e.file.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(uintptr) bool {
		var events [1]unix.EpollEvent
		unix.EpollWait(e.epoll, events[:], 0) // what comes from now on is new
		return step()
	})
}

// lookAway, in a step, lets nothing that comes wake this process up, until look, which does so for all of it.
func (e *edge) lookAway() error { return e.set(unix.EPOLL_CTL_MOD, 0) }
func (e *edge) look() error     { return e.set(unix.EPOLL_CTL_MOD, unix.EPOLLIN) }
