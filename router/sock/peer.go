// Package sock asks the kernel about connections.
package sock

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Peer watches the other end of a TCP connection without reading from it. It
// costs one poll(2) a question and no goroutine. One goroutine at a time may
// ask.
type Peer struct {
	raw    syscall.RawConn
	events int16
	got    int16
	f      func(uintptr)
}

// NewPeer returns the peer of conn, or of the connection below it for TLS; for
// anything else a peer that is always there.
func NewPeer(conn net.Conn) *Peer {
	p := &Peer{}
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	if sc, ok := conn.(syscall.Conn); ok {
		p.raw, _ = sc.SyscallConn()
	}
	p.f = func(fd uintptr) { // kept, so that asking allocates nothing
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: p.events}}
		for {
			_, err := unix.Poll(fds[:], 0)
			if err != unix.EINTR {
				break
			}
		}
		p.got = fds[0].Revents
	}
	return p
}

func (p *Peer) poll(events int16) int16 {
	if p.raw == nil {
		return 0
	}
	p.events, p.got = events, 0
	if p.raw.Control(p.f) != nil {
		return unix.POLLNVAL // closed on our side
	}
	return p.got
}

// Gone reports whether the other end has closed or shut down its side, even
// if what it sent before has not been read.
func (p *Peer) Gone() bool { return p.poll(unix.POLLRDHUP) != 0 }

// Quiet reports whether the other end is there and has sent nothing unread: an
// idle connection that can be used again.
func (p *Peer) Quiet() bool { return p.poll(unix.POLLIN|unix.POLLRDHUP) == 0 }
