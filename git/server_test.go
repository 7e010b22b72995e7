package git_test

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
	"github.com/hoist-sh/hoist/git"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/postgres"
)

// server is a running git component.
type server struct {
	dir       string
	ssh, http string
	own       string // its private SSH door; only of those inside the test
	stop      func() // SIGTERM
	kill      func() // SIGKILL; only of processes
}

// The two doors.
func (s *server) sshURL(app string) string { return "ssh://git@" + s.ssh + "/" + app + ".git" }
func (s *server) httpURL(p *person, app string) string {
	return "http://x:" + p.token + "@" + s.http + "/" + app + ".git"
}

// server starts a component inside the test.
func (w *world) server(change ...func(*git.Config)) *server {
	w.t.Helper()
	s := &server{dir: w.t.TempDir(), ssh: freeAddr(w.t), http: freeAddr(w.t)}
	self, _ := os.Executable()
	own := make(chan string, 1)
	c := git.Config{
		DB: w.roles.Open(hoist.ComponentGit), Bus: w.nats.Bus(hoist.ComponentGit), Blobs: w.blobs.Open(hoist.ComponentGit),
		Public: hoist.Public{Domain: "example.test", SSH: 22},
		Log:    slog.New(slog.NewTextHandler(w.t.Output(), nil)),
		Dir:    s.dir, Hook: self, SSH: s.ssh, HTTP: s.http,
		Register: func(ctx context.Context, _, ssh string) { own <- ssh; <-ctx.Done() },
	}
	for _, f := range change {
		f(&c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- git.New(c).Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(s.stop)
	s.own = <-own
	s.ready(w.t)
	return s
}

// process starts a component as a process, which can be killed.
func (w *world) process(dir string) *server {
	w.t.Helper()
	s := &server{dir: cmp.Or(dir, w.t.TempDir()), ssh: freeAddr(w.t), http: freeAddr(w.t)}
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"GIT_TEST_SERVER=1", "DATABASE_URL=" + w.roles.URL(hoist.ComponentGit), "NATS_URL=" + w.nats.URL(hoist.ComponentGit),
		"BLOB_URL=" + w.blobs.URL(hoist.ComponentGit), "HOIST_DIR=" + s.dir, "SSH=" + s.ssh, "HTTP=" + s.http}
	cmd.Stderr = w.t.Output()
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	end := func(sig syscall.Signal) {
		cmd.Process.Signal(sig)
		cmd.Wait()
	}
	s.stop, s.kill = func() { end(syscall.SIGTERM) }, func() { end(syscall.SIGKILL) }
	w.t.Cleanup(s.kill)
	s.ready(w.t)
	return s
}

// serverProcess is the other side of process.
func serverProcess() error {
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	db, err := postgres.Open(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	bus, err := nats.Connect(os.Getenv("NATS_URL"), log)
	if err != nil {
		return err
	}
	blobs, err := blob.Open(os.Getenv("BLOB_URL"))
	if err != nil {
		return err
	}
	self, _ := os.Executable()
	return git.New(git.Config{DB: db, Bus: bus, Blobs: blobs, Log: log, Dir: os.Getenv("HOIST_DIR"), Hook: self,
		SSH: os.Getenv("SSH"), HTTP: os.Getenv("HTTP"),
		Register: func(ctx context.Context, _, _ string) { <-ctx.Done() }}).Run(ctx)
}

// ready waits until an SSH door answers, the private one if there is one.
func (s *server) ready(t *testing.T) {
	t.Helper()
	eventually(t, "git component is ready", func() bool {
		conn, err := net.Dial("tcp", cmp.Or(s.own, s.ssh))
		if err != nil {
			return false
		}
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(time.Second))
		_, err = io.ReadFull(conn, make([]byte, 7))
		return err == nil
	})
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
