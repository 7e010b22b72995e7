package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hangupGrace is how long the processes of an attached container may take
// to end after SIGHUP.
const hangupGrace = 10 * time.Second

// stream is the far end of an attached container: a terminal's master, or the
// two pipes. When the supervisor dies, the kernel closes it: a terminal hangs
// up, pipes end and break.
type stream struct {
	in, out *os.File // the same for a terminal
	hangup  func()

	once    sync.Once
	taken   bool          // by Attach
	drained chan struct{} // closed when the reader saw the end, or went
	end     sync.Once
}

// Attach returns the terminal or the pipes of a container that was started
// with Attach, to its one caller. Reading ends with io.EOF after the last
// output. For pipes the stream also has CloseWrite, which ends the standard input.
func (e *Engine) Attach(id hoist.ID) (io.ReadWriteCloser, error) {
	c, err := e.container(id)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stream == nil {
		return nil, hoist.Invalid("Container %s has no stream to attach to.", id)
	}
	if c.stream.taken {
		return nil, hoist.ErrConflict
	}
	c.stream.taken = true
	return c.stream, nil
}

func newStream(in, out *os.File, hangup func()) *stream {
	return &stream{in: in, out: out, hangup: hangup, drained: make(chan struct{})}
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.out.Read(p)
	if errors.Is(err, unix.EIO) { // no process has the terminal open any more
		err = io.EOF
	}
	if err != nil {
		s.end.Do(func() { close(s.drained) })
	}
	return n, err
}

func (s *stream) Write(p []byte) (int, error) { return s.in.Write(p) }

// CloseWrite ends the container's standard input. On a terminal, that is for
// the person to do (^D).
func (s *stream) CloseWrite() error {
	if s.in == s.out {
		return nil
	}
	return s.in.Close()
}

// Close hangs up.
func (s *stream) Close() error {
	s.shut()
	s.hangup()
	return nil
}

func (s *stream) shut() {
	s.once.Do(func() {
		s.in.Close()
		s.out.Close()
		s.end.Do(func() { close(s.drained) })
	})
}

// hangUp ends an attached container that nobody is attached to any more.
func (e *Engine) hangUp(c *container) {
	if c.ended() {
		return
	}
	if err := e.signal(c, unix.SIGHUP); err != nil {
		e.log.Warn("cannot hang up", "container", c.ID, "err", err)
	}
	time.AfterFunc(hangupGrace, func() {
		if !c.ended() && !e.closed.Load() {
			c.process.kill(unix.SIGKILL)
		}
	})
}

// makePipes returns our ends and the container's standard streams, which
// belong to uid so that /dev/stdout can be opened.
func makePipes(uid int) (in, out *os.File, std stdio, err error) {
	std[0], in, err = os.Pipe()
	if err != nil {
		return nil, nil, std, err
	}
	out, std[1], err = os.Pipe()
	if err != nil {
		std[0].Close()
		in.Close()
		return nil, nil, std, err
	}
	std[2] = std[1]
	return in, out, std, errors.Join(std[0].Chown(uid, uid), std[1].Chown(uid, uid))
}

// console receives a terminal's master from the runtime, over a socket.
type console struct {
	path     string
	listener *net.UnixListener
}

func newConsole(dir string) (*console, error) {
	path := filepath.Join(dir, "tty")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("oci: console socket: %w", err)
	}
	return &console{path: path, listener: listener}, nil
}

func (c *console) close() { c.listener.Close() }

// receive returns the master once the runtime has connected; it has, when create returned.
func (c *console) receive() (*os.File, error) {
	c.listener.SetDeadline(time.Now().Add(10 * time.Second))
	conn, err := c.listener.AcceptUnix()
	if err != nil {
		return nil, fmt.Errorf("oci: console socket: %w", err)
	}
	defer conn.Close()
	data, oob := make([]byte, 256), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(data, oob)
	if err != nil {
		return nil, fmt.Errorf("oci: console socket: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.New("oci: the runtime sent no terminal")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.New("oci: the runtime sent no terminal")
	}
	unix.CloseOnExec(fds[0])
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "tty"), nil
}

// windowSize is the size of the person's terminal as the client told it.
func windowSize(env map[string]string) *specs.Box {
	columns, err1 := strconv.ParseUint(env["COLUMNS"], 10, 16)
	lines, err2 := strconv.ParseUint(env["LINES"], 10, 16)
	if err1 != nil || err2 != nil || columns == 0 || lines == 0 {
		return nil
	}
	return &specs.Box{Width: uint(columns), Height: uint(lines)}
}

// waitDrained waits until who is attached has read all there is, but not for ever.
func (c *container) waitDrained(ctx context.Context) {
	c.mu.Lock()
	s := c.stream
	taken := s != nil && s.taken
	c.mu.Unlock()
	if !taken {
		return
	}
	select {
	case <-s.drained:
	case <-ctx.Done():
	case <-time.After(hangupGrace):
	}
}
