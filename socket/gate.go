package socket

import (
	"net"
	"sync"
)

// Gate returns a listener that takes no connection of l before open is closed.
// Until then they queue, or go to who else listens on the same socket.
func Gate(l net.Listener, open <-chan struct{}) net.Listener {
	return &gate{Listener: l, open: open, closed: make(chan struct{})}
}

type gate struct {
	net.Listener
	open   <-chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case <-g.open:
		return g.Listener.Accept()
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.Listener.Close()
}
