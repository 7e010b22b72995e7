package runtime

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hoist-sh/hoist/rendezvous"
)

const (
	eotWait   = 300 * time.Millisecond // silence after EOT that makes it the end of input
	drainWait = 10 * time.Second       // for the last output to reach the client
)

// session is the connection between a client and its dyno.
type session struct {
	conn    net.Conn
	stream  io.ReadWriteCloser
	drained chan struct{} // closed when all output was sent
	gone    chan struct{} // closed when the client has closed
	once    sync.Once
}

func newSession(conn net.Conn, stream io.ReadWriteCloser) *session {
	return &session{conn: conn, stream: stream, drained: make(chan struct{}), gone: make(chan struct{})}
}

// output takes what the dyno writes to the client.
func (s *session) output() {
	defer close(s.drained)
	if _, err := io.Copy(s.conn, s.stream); err != nil {
		// The client does not read any more; the dyno shall not block on it.
		io.Copy(io.Discard, s.stream)
	}
}

// input takes what the client sends to the dyno, until the client is gone.
// Without a terminal, EOT that nothing follows closes the dyno's standard
// input; one in the midst of binary data is data. One that was taken for the end, but was data before
// a pause, cannot be put back: late is called when more comes.
func (s *session) input(tty bool, late func()) {
	defer close(s.gone)
	b := make([]byte, 32<<10)
	held := false // an EOT that may be the end
	ended := false
	for {
		if held {
			s.conn.SetReadDeadline(time.Now().Add(eotWait))
		}
		n, err := s.conn.Read(b)
		if held {
			s.conn.SetReadDeadline(time.Time{})
			if n > 0 {
				s.stream.Write([]byte{rendezvous.EOT})
			} else if c, ok := s.stream.(interface{ CloseWrite() error }); ok {
				c.CloseWrite()
				ended = true
			}
			held = false
			if e, ok := err.(net.Error); ok && e.Timeout() {
				err = nil
			}
		}
		data := b[:n]
		switch {
		case ended && n > 0:
			late()
		case !ended:
			if !tty {
				data, held = bytes.CutSuffix(data, []byte{rendezvous.EOT})
			}
			s.stream.Write(data) // if it fails the dyno has closed its input; go on to see the client leave
		}
		if err != nil {
			return
		}
	}
}

// drain waits until the client has all output, or does not take it.
func (s *session) drain() {
	select {
	case <-s.drained:
	case <-s.gone:
	case <-time.After(drainWait):
	}
}

// close ends the session in order: closing at once would reset the connection
// if the client still sends, and it would lose what it has not read yet.
func (s *session) close() {
	s.once.Do(func() {
		go func() {
			rendezvous.CloseWrite(s.conn)
			select {
			case <-s.gone:
			case <-time.After(drainWait):
			}
			s.conn.Close()
			s.stream.Close()
		}()
	})
}
