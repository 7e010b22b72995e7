package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	file    *os.File   // read end
	edge    *edge      // of file
	copy    [2]int     // a pipe, while watched
	buf     []byte
	seen    int  // bytes that were in the pipe when it was looked at last
	much    int  // of those, after which it is looked at again without a pause
	cut     bool // what was handed on last was part of a line: an end alone, which follows, is no empty line
	lost    int  // lines, with an earlier process

	mu      sync.Mutex // for what follows; the watcher alone changes mark
	mark    mark
	kept    *os.File // mark, for the next process
	handed  int      // lines, by this process
	flushed int      // of those
	lagging bool     // the lines do not wait in the pipe to be flushed
	behind  bool     // catchUp is at work
}

const (
	outputFile = "out"
	pipeSize   = 256 << 10
	flushWait  = time.Second // how long lines wait in the pipe to be flushed

	// Lines that come one by one are taken together, the first one at once: each time costs a wake-up and ten system calls.
	outputPace = 20 * time.Millisecond
	outputMuch = 16 << 10 // bytes, or half the pipe; with so many there, more are coming faster than that
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
	size, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	if err == nil {
		err = unix.SetNonblock(fd, false) // or Go's poller would have it
	}
	o := &output{file: os.NewFile(uintptr(fd), outputFile), much: min(outputMuch, size/2)}
	if err == nil {
		o.edge, err = newEdge(fd)
	}
	if err == nil {
		err = o.open(dir)
	}
	if err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *output) close() {
	if o.edge != nil {
		o.edge.file.Close() // waits for the watcher
	}
	o.file.Close()
	o.kept.Close()
}

// lines hands on the lines until nobody can write any more. A line leaves the pipe
// only after it was flushed, so that the next supervisor gets it again when this one is
// killed, unless flushing takes long: a dyno does not wait for a bus that is away.
func (o *output) lines(ctx context.Context, out hoist.Output) error {
	o.reading.Lock()
	defer o.reading.Unlock()
	if err := o.openCopy(); err != nil {
		return err
	}
	defer o.closeCopy()
	if err := o.resume(out); err != nil {
		return err
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		o.edge.file.SetReadDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-woken
			o.edge.file.SetReadDeadline(time.Time{})
		}
	}()
	var failed error
	err := o.edge.wait(func() (done bool) {
		for {
			if ctx.Err() != nil {
				failed = ctx.Err()
				return true
			}
			handed := o.handed
			more, err := o.step(ctx, o.edge.pipe, out)
			if errors.Is(err, unix.EAGAIN) {
				return false
			}
			if err == nil && more && o.handed > handed && o.seen < o.much {
				err = o.pause(ctx)
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

// pause lets lines come together in the pipe.
func (o *output) pause(ctx context.Context) error {
	if err := o.edge.lookAway(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(outputPace):
	}
	return o.edge.look()
}

func (o *output) openCopy() error {
	if err := unix.Pipe2(o.copy[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("oci: pipe: %w", err)
	}
	return nil
}

func (o *output) closeCopy() {
	unix.Close(o.copy[0])
	unix.Close(o.copy[1])
	o.buf = nil
}

// step looks at what is in the pipe and takes the whole lines. EAGAIN means
// that there is none yet; more is false at the end.
func (o *output) step(ctx context.Context, fd int, out hoist.Output) (more bool, err error) {
	seen, err := o.peek(fd)
	if err != nil {
		return false, err
	}
	carry, taken := o.mark.Carry, 0
	if len(seen) == 0 {
		if len(carry) > 0 {
			o.hand(out, carry, nil, 0)
			if err := o.flush(ctx, out); err != nil {
				return false, err
			}
		}
		return false, o.take(fd, 0, nil)
	}
	for {
		rest := seen[taken:]
		room := hoist.LogLineLimit - len(carry)
		end := bytes.IndexByte(rest[:min(len(rest), room+1)], '\n')
		next, cut := end+1, end < 0 && len(rest) >= room
		if cut {
			end = room - hoist.PartialRune(rest[:room])
			next = end
		}
		if end < 0 {
			break
		}
		taken += next
		o.hand(out, carry, rest[:end], taken)
		carry, o.cut = nil, cut
	}
	if taken == 0 {
		// Part of a line stays where it is safe, unless it could fill the pipe
		// (two pages at the least) or nobody is left to complete it.
		if len(seen) < os.Getpagesize() && !hungUp(fd) {
			return true, unix.EAGAIN
		}
		carry = slices.Concat(carry, seen)
		taken = len(seen)
	}
	if err := o.flush(ctx, out); err != nil {
		return false, err
	}
	return true, o.take(fd, taken, carry)
}

// hand gives out one line: what was carried, and its end, which is after the
// given number of the bytes that are about to leave the pipe.
func (o *output) hand(out hoist.Output, carry, end []byte, after int) {
	line := end
	if len(carry) > 0 {
		line = slices.Concat(carry, end)
	}
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 && o.cut {
		return
	}
	o.mu.Lock()
	o.handed++
	o.mu.Unlock()
	out.Line(hoist.Place{Source: o.mark.Source, End: o.mark.Taken + uint64(after)}, line)
}

// flush waits until the lines that were handed on are flushed, but not for
// long. An error means that they are not, and that the watcher ends.
func (o *output) flush(ctx context.Context, out hoist.Output) error {
	o.mu.Lock()
	handed, wait := o.handed, o.handed > o.flushed && !o.lagging
	lagging := o.lagging
	o.mu.Unlock()
	if lagging {
		return ctx.Err()
	}
	if !wait {
		return nil
	}
	try, cancel := context.WithTimeout(ctx, flushWait)
	err := out.Flush(try)
	cancel()
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		o.flushed = handed
		return nil
	}
	if ctx.Err() == nil {
		o.lagging = true
		if !o.behind {
			o.behind = true
			go o.catchUp(ctx, out)
		}
	}
	return ctx.Err()
}

// catchUp waits until the lines that did not wait for it are flushed.
func (o *output) catchUp(ctx context.Context, out hoist.Output) {
	for {
		o.mu.Lock()
		handed := o.handed
		o.mu.Unlock()
		err := out.Flush(ctx)
		o.mu.Lock()
		o.lagging = false
		if err == nil {
			o.flushed = max(o.flushed, handed)
			o.save()
		}
		o.behind = err == nil && o.flushed < o.handed
		behind := o.behind
		o.mu.Unlock()
		if !behind {
			return
		}
	}
}

// peek returns what is in the pipe, or the beginning of it, and leaves it there.
func (o *output) peek(fd int) ([]byte, error) {
	var n int64
	err := retry(func() (err error) {
		n, err = unix.Tee(fd, o.copy[1], 1<<16, unix.SPLICE_F_NONBLOCK)
		return err
	})
	o.seen = int(n)
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
