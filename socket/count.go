package socket

import (
	"net"
	"sync"
)

// Count returns l with each of its connections counted in open from when it is
// accepted until it is closed.
func Count(l net.Listener, open *sync.WaitGroup) net.Listener { return &counter{l, open} }

type counter struct {
	net.Listener
	open *sync.WaitGroup
}

// Accept implements net.Listener.
func (c *counter) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	return &counted{Conn: conn, done: sync.OnceFunc(c.open.Done)}, nil
}

type counted struct {
	net.Conn
	done func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.done()
	return c.Conn.Close()
}
