// Package rendezvous is the protocol between an attached dyno and its client,
// as the Heroku CLI speaks it to the host and port of a dyno's `attach_url`:
//
//	client  SECRET\r\n
//	server  rendezvous\r\n
//	both    raw bytes
//
// The greeting is a segment of its own (the Heroku CLI drops the whole first
// chunk it reads) and is sent when the dyno runs. A client that is refused
// gets a line " !    why\r\n" in its place and the end of the stream; the public
// port says nothing to one whose secret it does not know.
//
// A client says that its standard input is at its end by [EOT]. If that byte was data, which a pause
// follows, the dyno is killed when more comes: it had the end too early. Closing the
// connection, or its own direction of it, means that it went away: the dyno is
// hung up. The server closes when the dyno has ended.
package rendezvous

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

const (
	// SecretLimit is the longest secret in bytes.
	SecretLimit = 128
	// SecretTimeout is how long a client may take to send its secret.
	SecretTimeout = 10 * time.Second
	// EOT ends the standard input of a dyno without a terminal, when nothing
	// follows it. (With a terminal it is Ctrl-D, and the line discipline's affair.)
	EOT = 0x04
)

const (
	greeting     = "rendezvous\r\n"
	refusal      = " !    "
	refusalLimit = 1000 // bytes
	dialTimeout  = 10 * time.Second
)

// Errors of a client's first line.
var (
	ErrSecretLong    = fmt.Errorf("rendezvous: more than %d bytes without an end of line", SecretLimit)
	ErrSecretInvalid = errors.New("rendezvous: a secret is printable ASCII without spaces")
)

// Dial connects to a dyno's attach listener inside the platform. It returns
// once the dyno runs; ctx bounds the wait. A *hoist.Error is the server's
// refusal, in its words.
func Dial(ctx context.Context, addr, secret string) (net.Conn, error) {
	return dial(ctx, &net.Dialer{Timeout: dialTimeout}, addr, secret)
}

// DialTLS connects to the public rendezvous port: Dial over TLS.
func DialTLS(ctx context.Context, addr, secret string, cfg *tls.Config) (net.Conn, error) {
	return dial(ctx, &tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: cfg}, addr, secret)
}

type dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

func dial(ctx context.Context, d dialer, addr, secret string) (net.Conn, error) {
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("rendezvous: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err = greet(conn, secret)
	if !stop() && err == nil {
		err = ctx.Err() // the deadline may be set at any moment
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("rendezvous: %w", ctx.Err())
		}
		return nil, err
	}
	return conn, nil
}

// greet is the client's side of the greeting. It reads nothing beyond it.
func greet(conn io.ReadWriter, secret string) error {
	if _, err := io.WriteString(conn, secret+"\r\n"); err != nil {
		return fmt.Errorf("rendezvous: %w", err)
	}
	line, err := readLine(conn, refusalLimit)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("rendezvous: the dyno is gone: the connection was closed without an answer")
	}
	if err != nil {
		return fmt.Errorf("rendezvous: %w", err)
	}
	if why, ok := strings.CutPrefix(line, refusal); ok {
		return &hoist.Error{ID: "attach_refused", Message: why, Status: 410}
	}
	if line+"\r\n" != greeting {
		return fmt.Errorf("rendezvous: unexpected answer %.40q", line)
	}
	return nil
}

// Accept is the server's side: it reads the client's secret, gives it to
// lookup, which returns when the dyno runs, and answers. After an error the
// client has been told (in the words of a *hoist.Error) and conn is closed.
func Accept(conn net.Conn, lookup func(secret string) error) error {
	secret, err := ReadSecret(conn)
	if err == nil {
		err = lookup(secret)
	}
	if err == nil {
		err = Welcome(conn)
	}
	if err != nil {
		Refuse(conn, err)
	}
	return err
}

// ReadSecret reads a client's first line and nothing beyond it, for at most
// SecretTimeout.
func ReadSecret(conn net.Conn) (string, error) {
	conn.SetReadDeadline(time.Now().Add(SecretTimeout))
	secret, err := parseSecret(conn)
	if err != nil {
		return "", err
	}
	return secret, conn.SetReadDeadline(time.Time{})
}

func parseSecret(r io.Reader) (string, error) {
	secret, err := readLine(r, SecretLimit)
	switch {
	case errors.Is(err, errLineLong) || len(secret) > SecretLimit:
		return "", ErrSecretLong
	case err != nil:
		return "", fmt.Errorf("rendezvous: %w", err)
	case secret == "" || strings.ContainsFunc(secret, func(c rune) bool { return c <= ' ' || c > '~' }):
		return "", ErrSecretInvalid
	}
	return secret, nil
}

// Welcome sends the greeting: the dyno runs.
func Welcome(conn net.Conn) error {
	_, err := io.WriteString(conn, greeting)
	return err
}

// Refuse closes conn; the client is told why if err is a *hoist.Error.
func Refuse(conn net.Conn, err error) {
	if e, ok := hoist.AsError(err); ok {
		conn.SetWriteDeadline(time.Now().Add(time.Second))
		text := strings.Join(strings.Fields(e.Message), " ")
		if limit := refusalLimit - len(refusal); len(text) > limit {
			text = text[:limit]
		}
		io.WriteString(conn, refusal+text+"\r\n")
	}
	conn.Close()
}

var errLineLong = errors.New("line too long")

// readLine reads up to the end of a line, LF or CRLF, byte by byte: what
// follows it is not ours. The line has limit bytes at most.
func readLine(r io.Reader, limit int) (string, error) {
	var line bytes.Buffer
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return strings.TrimSuffix(line.String(), "\r"), nil
		}
		if line.Len() > limit { // one more, for the CR
			return "", errLineLong
		}
		line.WriteByte(b[0])
	}
}
