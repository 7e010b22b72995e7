package runtime_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/socket"
)

// hostEngine runs containers as process groups of the host: the neighbour's
// part without its walls. It stands for one machine's containers, which
// outlive a Runtime.
type hostEngine struct {
	dir string

	mu         sync.Mutex
	containers map[hoist.ID]*hostContainer
	starts     map[string]int // by name
	refuse     error          // for Start
	otherIP    bool           // than asked for
	stuck      atomic.Bool    // what is killed does not end
}

type hostContainer struct {
	hoist.Container
	cmd    *exec.Cmd
	stream *hostStream
	output string // file
	read   int64  // by watchers
	exit   hoist.Exit
	ended  chan struct{}
}

var lastIP atomic.Uint32

func newHostEngine(t *testing.T) *hostEngine {
	// Under nohup(1) we ignore SIGHUP, and what we execute would, too; a container's process does not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	e := &hostEngine{dir: t.TempDir(), containers: map[hoist.ID]*hostContainer{}, starts: map[string]int{}}
	t.Cleanup(func() {
		e.stuck.Store(false)
		for id := range maps.Clone(e.containers) {
			e.Remove(context.Background(), id)
		}
	})
	return e
}

func (e *hostEngine) Start(_ context.Context, spec hoist.ContainerSpec) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuse != nil {
		return e.refuse
	}
	if e.containers[spec.ID] != nil {
		return errors.New("there is such a container already")
	}
	n := lastIP.Add(1)
	ip := netip.AddrFrom4([4]byte{127, byte(os.Getpid()%200 + 10), byte(n / 250), byte(n%250 + 1)})
	if spec.IP.IsValid() && !e.otherIP {
		ip = spec.IP
	}
	c := &hostContainer{
		Container: hoist.Container{ID: spec.ID, Labels: spec.Labels, IP: ip, StartedAt: time.Now(), Running: true},
		cmd:       exec.Command("/bin/bash", "-c", spec.Command),
		output:    filepath.Join(e.dir, hoist.NewID()),
		ended:     make(chan struct{}),
	}
	self, _ := os.Executable()
	// The race detector has a program sleep for a second before it exits.
	c.cmd.Env = []string{"GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH"), "BIND=" + ip.String(), "APP=" + self, "SLUG=" + spec.SlugPath}
	for k, v := range spec.Env {
		c.cmd.Env = append(c.cmd.Env, k+"="+v)
	}
	if err := c.start(spec); err != nil {
		return err
	}
	if !spec.Deadline.IsZero() {
		time.AfterFunc(time.Until(spec.Deadline), func() {
			e.mu.Lock()
			c.exit.TimedOut = true
			e.mu.Unlock()
			syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		})
	}
	go func() {
		c.cmd.Wait()
		e.mu.Lock()
		defer e.mu.Unlock()
		c.exit.Code = c.cmd.ProcessState.ExitCode()
		if s := c.cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signaled() {
			c.exit.Code = 128 + int(s.Signal())
		}
		c.Running = false
		if c.stream != nil {
			c.stream.exited()
		}
		close(c.ended)
	}()
	e.containers[spec.ID] = c
	e.starts[spec.Name]++
	return nil
}

func (c *hostContainer) start(spec hoist.ContainerSpec) error {
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	switch {
	case spec.TTY:
		c.cmd.SysProcAttr = &syscall.SysProcAttr{}
		f, err := pty.Start(c.cmd)
		c.stream = &hostStream{r: f, w: f, pid: func() int { return c.cmd.Process.Pid }}
		return err
	case spec.Attach:
		in, _ := c.cmd.StdinPipe()
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		c.cmd.Stdout, c.cmd.Stderr = w, w
		c.stream = &hostStream{r: r, w: in, out: w, pid: func() int { return c.cmd.Process.Pid }}
		return c.cmd.Start()
	default:
		f, err := os.Create(c.output)
		if err != nil {
			return err
		}
		defer f.Close()
		c.cmd.Stdout, c.cmd.Stderr = f, f
		return c.cmd.Start()
	}
}

// hostStream is an attached process's terminal or pipes.
type hostStream struct {
	r   *os.File
	w   io.WriteCloser
	out *os.File // our copy of the writing end; nil for a terminal
	pid func() int
}

func (s *hostStream) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if errors.Is(err, syscall.EIO) { // the terminal's other side is closed
		err = io.EOF
	}
	return n, err
}
func (s *hostStream) Write(b []byte) (int, error) { return s.w.Write(b) }
func (s *hostStream) CloseWrite() error           { return s.w.Close() }
func (s *hostStream) Close() error {
	syscall.Kill(-s.pid(), syscall.SIGHUP)
	return s.w.Close()
}
func (s *hostStream) exited() {
	if s.out != nil {
		s.out.Close()
	}
}

func (e *hostEngine) get(id hoist.ID) (*hostContainer, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[id]; c != nil {
		return c, nil
	}
	return nil, hoist.ErrNotFound
}

func (e *hostEngine) Attach(id hoist.ID) (io.ReadWriteCloser, error) {
	c, err := e.get(id)
	if err != nil {
		return nil, err
	}
	return c.stream, nil
}

func (e *hostEngine) Watch(ctx context.Context, id hoist.ID, out hoist.Output) (hoist.Exit, error) {
	c, err := e.get(id)
	if err != nil {
		return hoist.Exit{}, err
	}
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			return hoist.Exit{}, ctx.Err()
		case <-c.ended:
			ended = true
		case <-time.After(20 * time.Millisecond):
		}
		if out != nil {
			c.follow(ctx, out)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return c.exit, nil
}

func (c *hostContainer) follow(ctx context.Context, out hoist.Output) {
	f, err := os.Open(c.output)
	if err != nil {
		return
	}
	defer f.Close()
	f.Seek(c.read, io.SeekStart)
	for r := bufio.NewReaderSize(f, 1<<20); ctx.Err() == nil; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		c.read += int64(len(line))
		out.Line(hoist.Place{Source: filepath.Base(c.output), End: uint64(c.read)}, line[:len(line)-1])
	}
}

func (e *hostEngine) Memory(context.Context, hoist.ID) (int64, error) { return 0, nil }

func (e *hostEngine) Connections(_ context.Context, id hoist.ID, port int) (int, error) {
	c, err := e.get(id)
	if err != nil {
		return 0, err
	}
	return socket.Connections(c.cmd.Process.Pid, netip.AddrPortFrom(c.IP, uint16(port)))
}

func (e *hostEngine) Signal(_ context.Context, id hoist.ID, sig int) error {
	c, err := e.get(id)
	if err != nil {
		return err
	}
	return syscall.Kill(-c.cmd.Process.Pid, syscall.Signal(sig))
}

func (e *hostEngine) Remove(ctx context.Context, id hoist.ID) error {
	c, err := e.get(id)
	if err != nil {
		return nil
	}
	if e.stuck.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.ended
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.containers, id)
	os.Remove(c.output)
	return nil
}

func (e *hostEngine) List(context.Context) ([]hoist.Container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []hoist.Container
	for _, c := range e.containers {
		list = append(list, c.Container)
	}
	return list, nil
}

// running counts the live containers and says how often a name was started.
func (e *hostEngine) running() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		if c.Running {
			n++
		}
	}
	return n
}

func (e *hostEngine) started(name string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.starts[name]
}
