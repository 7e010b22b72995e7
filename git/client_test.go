package git_test

import (
	"bytes"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a client's command under way.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	mu   sync.Mutex
	buf  bytes.Buffer
	done chan struct{}
	err  error
}

func (p *person) start(dir string, args ...string) *process {
	p.w.t.Helper()
	return start(p.w.t, p.command(dir, "git", args...))
}

func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.kill(syscall.SIGKILL)
		<-p.done
	})
	return p
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}

func (p *process) waitFor(text string) {
	p.t.Helper()
	eventually(p.t, "output "+text, func() bool {
		if strings.Contains(p.output(), text) {
			return true
		}
		select {
		case <-p.done:
			if !strings.Contains(p.output(), text) {
				p.t.Fatalf("ended without %q: %v\n%s", text, p.err, p.output())
			}
		default:
		}
		return false
	})
}

func (p *process) wait() error {
	select {
	case <-p.done:
	case <-time.After(40 * time.Second):
		p.t.Fatal("does not end:\n", p.output())
	}
	return p.err
}

// interrupt is what ^C does: the signal goes to git and ssh alike.
func (p *process) interrupt() { p.kill(syscall.SIGINT) }

func (p *process) kill(sig syscall.Signal) { syscall.Kill(-p.cmd.Process.Pid, sig) }
