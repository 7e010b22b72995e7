package socket

import (
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

// A process that accepts on a socket ends when it is told to, although the
// socket has been handed to another one meanwhile.
func TestHandedOverSocketStaysNonBlocking(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	l, err := dup("test", held.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	f, err := File(held.(*net.TCPListener), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("true")
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for { // the first accept finds a connection, the second none
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	c, err := net.Dial("tcp", held.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Read(make([]byte, 1)) // until it was accepted and closed
	c.Close()
	time.Sleep(50 * time.Millisecond)
	closed := make(chan struct{})
	go func() { l.Close(); close(closed) }()
	for _, c := range []chan struct{}{closed, ended} {
		select {
		case <-c:
		case <-time.After(5 * time.Second):
			t.Fatal("whoever accepts hangs")
		}
	}
}
