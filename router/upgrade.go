package router

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// switchProtocols passes 101 on and relays bytes, of a WebSocket for instance,
// until both sides have ended or nothing went either way for the idle time.
func (v *visit) switchProtocols(l *link, resp *http.Response) *failure {
	upgrade := resp.Header.Get("Upgrade")
	v.copyHeader(resp)
	h := v.w.Header()
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{upgrade}
	delete(h, "Content-Length")
	hijacker, ok := v.w.(http.Hijacker)
	if !ok {
		return failBadResponse // HTTP/2 has no Upgrade; the client cannot have asked
	}
	v.status = http.StatusSwitchingProtocols
	v.w.WriteHeader(v.status)
	client, rw, err := hijacker.Hijack()
	if err != nil {
		return cut(failClientCut)
	}
	defer client.Close()
	if err := rw.Flush(); err != nil {
		return cut(failClientCut)
	}
	l.raw.SetDeadline(time.Time{})
	early := io.LimitReader(l.br, int64(l.br.Buffered()))
	t := &tunnel{idle: v.idle()}
	t.active.Store(moment(time.Now()))
	up := make(chan error, 1)
	go func() {
		_, err := t.copy(l.raw, client, rw.Reader)
		up <- err
	}()
	n, err := t.copy(client, l.raw, io.MultiReader(early, l.raw))
	v.bytes = n
	if err != nil {
		client.Close()
		l.raw.Close()
	}
	upErr := <-up
	if isTimeout(err) || isTimeout(upErr) {
		return cut(failIdle)
	}
	return nil
}

// tunnel is a connection that has left HTTP.
type tunnel struct {
	idle   time.Duration
	active atomic.Int64 // the moment when a byte went either way last
}

// copy copies what src reads from the connection from to to, passing on the
// end of the stream.
func (t *tunnel) copy(to, from net.Conn, src io.Reader) (n int64, err error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		from.SetReadDeadline(time.Now().Add(t.idle))
		k, err := src.Read(*buf)
		if k > 0 {
			t.active.Store(moment(time.Now()))
			to.SetWriteDeadline(time.Now().Add(t.idle))
			if _, werr := to.Write((*buf)[:k]); werr != nil {
				from.Close()
				return n, werr
			}
			n += int64(k)
		}
		switch {
		case err == nil:
		case err == io.EOF:
			if c, ok := to.(interface{ CloseWrite() error }); ok {
				return n, c.CloseWrite()
			}
			return n, to.Close()
		case isTimeout(err) && moment(time.Now())-t.active.Load() < int64(t.idle):
		default:
			to.Close()
			return n, err
		}
	}
}
