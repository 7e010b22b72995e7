package rendezvous

import (
	"context"
	"io"
	"net"
	"time"
)

// hangupGrace is how long a dyno's last words are passed on after its client
// closed its direction.
const hangupGrace = 30 * time.Second

// Relay copies between a client and a dyno, both greeted, until the dyno's
// side has ended or either connection fails, and closes both. The end of the
// client's side is passed on, and what the dyno still says within 30 s comes
// back.
func Relay(ctx context.Context, client, dyno net.Conn) {
	closeBoth := func() { client.Close(); dyno.Close() }
	defer closeBoth()
	defer context.AfterFunc(ctx, closeBoth)()
	go func() {
		_, err := io.Copy(dyno, client)
		if err != nil || CloseWrite(dyno) != nil {
			closeBoth()
			return
		}
		dyno.SetReadDeadline(time.Now().Add(hangupGrace))
	}()
	if _, err := io.Copy(client, dyno); err == nil {
		CloseWrite(client)
	}
}

// CloseWrite ends our direction of a TCP or TLS connection, or all of any other.
func CloseWrite(conn net.Conn) error {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return conn.Close()
}
