package socket

import (
	"errors"
	"net"
	"testing"
	"time"
)

func TestAGateTakesNothingBeforeItIsOpen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	g := Gate(l, open)
	defer g.Close()
	taken := make(chan net.Conn, 1)
	go func() {
		if c, err := g.Accept(); err == nil {
			taken <- c
		}
	}()
	client, err := net.Dial("tcp", l.Addr().String()) // it queues
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	select {
	case <-taken:
		t.Fatal("taken before the gate was open")
	case <-time.After(50 * time.Millisecond):
	}
	close(open)
	select {
	case c := <-taken:
		c.Close()
	case <-time.After(5 * time.Second):
		t.Fatal("not taken though the gate is open")
	}
}

func TestAClosedGateWaitsNoLonger(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := Gate(l, make(chan struct{}))
	go g.Close()
	if _, err := g.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	g.Close() // again does no harm
}
