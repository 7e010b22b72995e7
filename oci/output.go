package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

// output reads a container's standard output and error from a named pipe.
// The container holds it open for reading and writing, so it has neither SIGPIPE nor
// an end while there is no supervisor; what is in the pipe then waits for the next.
type output struct {
	reading sync.Mutex // held by the one watcher
	file    *os.File   // in the poller; read end
	copy    [2]int     // a pipe, while watched
	buf     []byte
	carry   []byte // taken from the pipe, but not handed on yet: part of a line
	cut     bool   // what was handed on last was part of a line: an end alone, which follows, is no empty line
}

const (
	outputFile = "out"
	pipeSize   = 256 << 10
)

// makeOutput makes the pipe for a container whose dyno has uid, and returns the end
// for the container.
func makeOutput(dir string, uid int) (*output, *os.File, error) {
	path := filepath.Join(dir, outputFile)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, nil, fmt.Errorf("oci: make a named pipe: %w", err)
	}
	// Programs open /dev/stdout by name; then the pipe's owner matters.
	if err := os.Chown(path, uid, uid); err != nil {
		return nil, nil, err
	}
	container, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	out, err := openOutput(dir)
	if err != nil {
		container.Close()
		return nil, nil, err
	}
	return out, container, nil
}

func openOutput(dir string) (*output, error) {
	fd, err := unix.Open(filepath.Join(dir, outputFile), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("oci: open the container's output: %w", err)
	}
	// All pipes of a user share /proc/sys/fs/pipe-user-pages-soft; above it
	// only root with CAP_SYS_RESOURCE gets large ones, and others hardly any.
	if capable(unix.CAP_SYS_RESOURCE) {
		unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, pipeSize)
	}
	return &output{file: os.NewFile(uintptr(fd), outputFile)}, nil
}

func (o *output) close() { o.file.Close() }

// lines hands on the lines until nobody can write any more. A line leaves the pipe
// only after out has returned: when the supervisor is killed, the next
// one gets it again rather than never.
func (o *output) lines(ctx context.Context, out func([]byte)) error {
	o.reading.Lock()
	defer o.reading.Unlock()
	if err := unix.Pipe2(o.copy[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("oci: pipe: %w", err)
	}
	defer func() {
		unix.Close(o.copy[0])
		unix.Close(o.copy[1])
		o.buf = nil
	}()
	conn, err := o.file.SyscallConn()
	if err != nil {
		return err
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		o.file.SetReadDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-woken
			o.file.SetReadDeadline(time.Time{})
		}
	}()
	var failed error
	err = conn.Read(func(fd uintptr) (done bool) {
		for {
			if ctx.Err() != nil {
				failed = ctx.Err()
				return true
			}
			more, err := o.step(int(fd), out)
			if errors.Is(err, unix.EAGAIN) {
				return false
			}
			if err != nil || !more {
				failed = err
				return true
			}
		}
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrClosed):
		return nil // removed
	case err != nil:
		return err
	}
	return failed
}

// step looks at what is in the pipe and takes the whole lines. EAGAIN means
// that there is none yet; more is false at the end.
func (o *output) step(fd int, out func([]byte)) (more bool, err error) {
	seen, err := o.peek(fd)
	if err != nil {
		return false, err
	}
	if len(seen) == 0 {
		o.flush(out)
		return false, nil
	}
	taken := 0
	for {
		rest := seen[taken:]
		room := hoist.LogLineLimit - len(o.carry)
		end := bytes.IndexByte(rest[:min(len(rest), room+1)], '\n')
		switch {
		case end >= 0:
			o.hand(rest[:end], out)
			taken += end + 1
			continue
		case len(rest) >= room:
			end := room - hoist.PartialRune(rest[:room])
			o.hand(rest[:end], out)
			o.cut = true
			taken += end
			continue
		}
		break
	}
	if taken == 0 {
		// Part of a line stays where it is safe, unless it could fill the pipe
		// (two pages at the least) or nobody is left to complete it.
		if len(seen) < os.Getpagesize() && !hungUp(fd) {
			return true, unix.EAGAIN
		}
		o.carry = append(o.carry, seen...)
		taken = len(seen)
	}
	return true, discard(fd, o.buf[:taken])
}

// hand gives out one line: what was carried, and its end.
func (o *output) hand(end []byte, out func([]byte)) {
	line := end
	if len(o.carry) > 0 {
		line = append(o.carry, end...)
		o.carry = nil
	}
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) > 0 || !o.cut {
		out(line)
	}
	o.cut = false
}

func (o *output) flush(out func([]byte)) {
	if len(o.carry) > 0 {
		o.hand(nil, out)
	}
}

// peek returns what is in the pipe, or the beginning of it, and leaves it there.
func (o *output) peek(fd int) ([]byte, error) {
	var n int64
	err := retry(func() (err error) {
		n, err = unix.Tee(fd, o.copy[1], 1<<16, unix.SPLICE_F_NONBLOCK)
		return err
	})
	if err != nil || n == 0 {
		return nil, err
	}
	if int(n) > len(o.buf) {
		o.buf = make([]byte, n)
	}
	if err := discard(o.copy[0], o.buf[:n]); err != nil {
		return nil, err
	}
	return o.buf[:n], nil
}

// discard reads exactly as much as fits in buf.
func discard(fd int, buf []byte) error {
	for len(buf) > 0 {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Read(fd, buf)
			return err
		})
		if err != nil {
			return fmt.Errorf("oci: read output: %w", err)
		}
		if n == 0 {
			return errors.New("oci: read output: somebody else reads it too")
		}
		buf = buf[n:]
	}
	return nil
}

// hungUp reports whether a pipe has no writer any more.
func hungUp(fd int) bool { return ready(fd, unix.POLLHUP) }

// ready reports whether poll(2) sees an event now.
func ready(fd int, event int16) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: event}}
	err := retry(func() error {
		_, err := unix.Poll(poll, 0)
		return err
	})
	return err == nil && poll[0].Revents&event != 0
}

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// capable reports whether this process has a capability.
func capable(which int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[which/32].Effective&(1<<(which%32)) != 0
}
