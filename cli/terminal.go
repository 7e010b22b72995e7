package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"os"

	"github.com/hoist-sh/hoist/rendezvous"
	"golang.org/x/term"
)

// stream is the connection to an attached dyno.
type stream = net.Conn

// terminal joins the person's streams to a dyno's.
type terminal struct {
	in  io.Reader
	out io.Writer
	tty bool
	env map[string]string // TERM, COLUMNS, LINES
}

// relay copies both ways until the dyno ends the stream or ctx ends. In a
// terminal every key goes to the dyno, ^C too.
func (t *terminal) relay(ctx context.Context, conn stream) error {
	defer conn.Close()
	if t.tty {
		fd := int(t.in.(*os.File).Fd())
		before, err := term.MakeRaw(fd)
		if err != nil {
			return err
		}
		defer term.Restore(fd, before)
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go t.send(conn) // may stay in a read of the terminal; the program ends with it
	_, err := io.Copy(t.out, conn)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, net.ErrClosed):
		return nil
	}
	return err
}

// send copies input to the dyno, and its end too, unless a terminal ended: that
// is the person who went.
func (t *terminal) send(conn stream) {
	if _, err := io.Copy(struct{ io.Writer }{conn}, t.in); err == nil && !t.tty {
		conn.Write([]byte{rendezvous.EOT})
	}
}
