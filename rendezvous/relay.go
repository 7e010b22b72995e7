package rendezvous

import (
	"context"
	"io"
	"net"
	"time"
)

const (
	// hangupGrace is how long a dyno's last words are passed on after its
	// client closed its direction.
	hangupGrace = 30 * time.Second
	// leaveGrace is how long a client may take to close after its dyno's end.
	leaveGrace = 10 * time.Second
)

// Relay copies between a client and a dyno, both greeted, until the dyno's
// side has ended or either connection fails, and closes both. The end of the
// client's side is passed on, and what the dyno still says within 30 s comes
// back. The end of the dyno's side is passed on, and the client has 10 s to
// read to it and close.
func Relay(ctx context.Context, client, dyno net.Conn) {
	closeBoth := func() { client.Close(); dyno.Close() }
	defer closeBoth()
	defer context.AfterFunc(ctx, closeBoth)()
	left := make(chan struct{}) // closed when nothing more comes of the client
	go func() {
		defer close(left)
		if _, err := io.Copy(dyno, client); err != nil {
			// The dyno takes no more; what it has said may still be on its way to the client.
			_, err = io.Copy(io.Discard, client)
			if err != nil {
				closeBoth()
				return
			}
		}
		CloseWrite(dyno)
		dyno.SetReadDeadline(time.Now().Add(hangupGrace))
	}()
	if _, err := io.Copy(client, dyno); err != nil {
		return
	}
	// Closing at once would reset the connection of a client that still sends,
	// and it would lose what it has not read yet.
	CloseWrite(client)
	dyno.SetWriteDeadline(time.Now())
	client.SetReadDeadline(time.Now().Add(leaveGrace))
	<-left
}

// CloseWrite ends our direction of a TCP or TLS connection, or all of any other.
func CloseWrite(conn net.Conn) error {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return conn.Close()
}
