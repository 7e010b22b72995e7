package socket

import (
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestListenWithoutAnybodyHoldingASocketOpensOne(t *testing.T) {
	l, err := Listen("nobody-has-this", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestAnOfferedSocketQueuesWhileNobodyAccepts(t *testing.T) {
	own, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	Offer("queue", own.(*net.TCPListener))
	first, err := Listen("queue", "")
	if err != nil {
		t.Fatal(err)
	}
	first.Close() // a component goes away
	conn, err := net.Dial("tcp", own.Addr().String())
	if err != nil {
		t.Fatal("refused between two listeners:", err)
	}
	defer conn.Close()
	second, err := Listen("queue", "")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	second.(*net.TCPListener).SetDeadline(time.Now().Add(5 * time.Second))
	accepted, err := second.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close()
}

func TestSocketsComeFromTheParentProcess(t *testing.T) {
	if os.Getenv("LISTEN_TEST_CHILD") != "" {
		l, err := Listen("ssh", "")
		if err != nil {
			t.Fatal(err)
		}
		if os.Getenv("LISTEN_FDS") != "" {
			t.Fatal("LISTEN_FDS is left for our children")
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, "hello")
		conn.Close()
		return
	}
	var files []*os.File
	var address string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files, address = append(files, f), l.Addr().String()
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSocketsComeFromTheParentProcess$")
	cmd.Env = []string{"LISTEN_TEST_CHILD=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=http:ssh"}
	cmd.ExtraFiles = files
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if b, err := io.ReadAll(conn); string(b) != "hello" {
		t.Error(string(b), err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		fds, names, pid string
		want            []string
		fails           bool
	}{
		{"", "", "", nil, false},
		{"0", "", "", nil, false},
		{"2", "http:https", "", []string{"http", "https"}, false},
		{"1", "ssh", "42", []string{"ssh"}, false},
		{"1", "ssh", "43", nil, false}, // another process's
		{"2", "ssh", "", nil, true},
		{"1", "", "", nil, true},
		{"-1", "ssh", "", nil, true},
		{"x", "ssh", "", nil, true},
	} {
		got, err := parse(c.fds, c.names, c.pid, 42)
		if (err != nil) != c.fails || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}
