package oci_test

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/oci"
)

func attached(t *testing.T, e *oci.Engine, command string, tty bool) (hoist.ContainerSpec, io.ReadWriteCloser) {
	t.Helper()
	s := spec(command)
	s.Attach, s.TTY = true, tty
	s.Env = map[string]string{"COLUMNS": "123", "LINES": "45", "TERM": "vt100"}
	start(t, e, s)
	stream, err := e.Attach(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	return s, stream
}

func TestAttachByPipes(t *testing.T) {
	e := newEngine(t)
	s, stream := attached(t, e, `while read x; do echo got $x; echo err > /dev/stderr; done; echo end; exit 9`, false)
	if _, err := e.Attach(s.ID); err == nil {
		t.Error("attached twice")
	}
	if _, err := io.WriteString(stream, "a\nb\n"); err != nil {
		t.Fatal(err)
	}
	if err := stream.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(stream)
	if err != nil || string(out) != "got a\nerr\ngot b\nerr\nend\n" {
		t.Fatalf("got %q, %v", out, err)
	}
	if _, exit := watch(t, e, s.ID); exit.Code != 9 {
		t.Fatalf("got %+v", exit)
	}
}

func TestAttachByTerminal(t *testing.T) {
	e := newEngine(t)
	s, stream := attached(t, e, `stty size; test -t 0 && test -t 2 && tty; echo $TERM; read x; echo got $x; exit 6`, true)
	if _, err := io.WriteString(stream, "hello\r"); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"45 123\r\n", "/dev/pts/0\r\n", "vt100\r\n", "got hello\r\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	if _, exit := watch(t, e, s.ID); exit.Code != 6 {
		t.Fatalf("got %+v", exit)
	}
}

func TestInterruptFromTheTerminal(t *testing.T) {
	e := newEngine(t)
	s, stream := attached(t, e, `echo up; exec sleep 100`, true)
	if _, err := bufio.NewReader(stream).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if _, err := io.WriteString(stream, "\x03"); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, stream)
	if _, exit := watch(t, e, s.ID); exit.Code != 130 {
		t.Fatalf("got %+v", exit)
	}
}

func TestExitComesAfterTheStreamsEnd(t *testing.T) {
	e := newEngine(t)
	s, stream := attached(t, e, `seq 5000`, false)
	watched := make(chan struct{})
	go func() {
		watch(t, e, s.ID)
		close(watched)
	}()
	time.Sleep(300 * time.Millisecond)
	select {
	case <-watched:
		t.Error("told the exit code before the output was read")
	default:
	}
	if out, err := io.ReadAll(stream); err != nil || !strings.HasSuffix(string(out), "\n5000\n") {
		t.Errorf("got %d bytes, %v", len(out), err)
	}
	<-watched
}

func TestClosedStreamEndsTheContainer(t *testing.T) {
	e := newEngine(t)
	for _, tty := range []bool{true, false} {
		s, stream := attached(t, e, `echo up; sleep 100`, tty)
		if _, err := io.ReadFull(stream, make([]byte, len("up"))); err != nil {
			t.Fatal(err)
		}
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, exit := watch(t, e, s.ID); exit.Code != 129 || time.Since(begin) > 5*time.Second {
			t.Errorf("tty %v: got %+v after %s", tty, exit, time.Since(begin))
		}
	}
}
