package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hoist-sh/hoist/router/sock"
)

// conn is one client's connection. All but drain is called by the goroutine
// that serves it, or by the handler.
type conn struct {
	s     *Server
	raw   net.Conn
	peer  *sock.Peer
	proto *http.Request // what each request starts as: context, address, TLS

	buf      []byte // what has been read: buf[r:w]
	r, w_    int
	deadline time.Time   // of the next read, as set last
	idle     atomic.Bool // between two requests
	w        response
	hijacked bool
	aborted  atomic.Bool // the body is not wanted any more
}

// firstBuffer is what a connection starts with; heads longer than that are rare.
const firstBuffer = 4 << 10

func (c *conn) serve() {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			c.s.Log.Error("panic while serving", "panic", p, "stack", string(debug.Stack()))
		}
		if !c.hijacked {
			c.raw.Close()
		}
	}()
	for first := true; ; first = false {
		r, err := c.readRequest(first)
		if err != nil {
			c.refuse(err)
			return
		}
		if !c.handle(r) {
			return
		}
	}
}

// handle serves one request and reports whether another may follow.
func (c *conn) handle(r *http.Request) bool {
	w := &c.w
	w.start(c, r)
	b, _ := r.Body.(*body)
	c.s.Handler.ServeHTTP(w, r)
	if c.hijacked {
		return false
	}
	if b != nil && !b.done() {
		w.close = w.close || !c.skipRest(b)
	}
	w.close = w.close || c.aborted.Load()
	if err := w.finish(); err != nil {
		return false
	}
	if b != nil {
		b.fail(errBodyClosed)
	}
	if w.close {
		c.lingeringClose(b != nil)
		return false
	}
	return true
}

// skipRest reads a little of a body nobody wanted, so that the connection can
// be used again.
func (c *conn) skipRest(b *body) bool {
	if b.expects || b.err != nil && b.err != io.EOF || b.remaining > 64<<10 {
		return false
	}
	n, err := io.CopyN(io.Discard, b, 64<<10)
	return err == io.EOF && n <= 64<<10
}

// lingeringClose lets a client that is still sending read the answer: closing
// with unread data would reset the connection and take the answer with it
// (RFC 9112, section 9.6).
func (c *conn) lingeringClose(unread bool) {
	if cw, ok := c.raw.(interface{ CloseWrite() error }); ok && unread {
		cw.CloseWrite()
		c.raw.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		io.CopyN(io.Discard, c.raw, 1<<20)
	}
}

// tlsHandshake is what a TLS client's first byte is (RFC 8446, section 5.1). It
// gets an answer, which tells it, instead of being waited for.
const tlsHandshake = 0x16

// readRequest waits for a request and reads its head.
func (c *conn) readRequest(first bool) (*http.Request, error) {
	if c.r == c.w_ {
		c.r, c.w_ = 0, 0
		// The head's time starts with its first byte, or with the connection.
		wait := c.s.IdleTimeout
		if first {
			wait = c.s.HeadTimeout
		}
		c.readDeadline(wait)
		c.idle.Store(!first)
		if c.s.draining.Load() && !first {
			c.raw.SetReadDeadline(time.Now().Add(drainGrace))
		}
		err := c.fill()
		c.idle.Store(false)
		if c.s.draining.Load() {
			c.deadline = time.Time{} // Drain may have set another
		}
		if err != nil {
			return nil, errIdle
		}
	}
	started, seen := time.Now(), 0
	var end int
	for {
		// A stray CR LF before a request line is ignored (RFC 9112, 2.2).
		if seen == 0 && bytes.HasPrefix(c.buf[c.r:c.w_], []byte("\r\n")) {
			c.r += 2
		}
		if first && seen == 0 && bytes.HasPrefix(c.buf[c.r:c.w_], []byte{tlsHandshake}) {
			return nil, &Error{http.StatusBadRequest, "This port speaks HTTP, not HTTPS."}
		}
		if end = headEnd(c.buf[c.r:c.w_], seen); end > 0 {
			break
		}
		if seen = c.w_ - c.r; seen > c.s.Limits.Head {
			return nil, c.tooLong(seen)
		}
		c.exactReadDeadline(started.Add(c.s.HeadTimeout))
		if err := c.fill(); err != nil {
			return nil, headError(err, seen)
		}
	}
	if end > c.s.Limits.Head {
		return nil, c.tooLong(end)
	}
	head := string(c.buf[c.r : c.r+end])
	c.r += end
	r := new(http.Request)
	*r = *c.proto
	if err := parseHead(head, c.s.Limits, r); err != nil {
		return nil, err
	}
	r.Body = http.NoBody
	if r.ContentLength != 0 {
		b := &body{c: c, r: r, remaining: r.ContentLength, chunked: r.ContentLength < 0}
		if b.chunked {
			b.remaining = 0
		}
		if e := r.Header["Expect"]; len(e) > 0 && r.ProtoMinor > 0 {
			if len(e) > 1 || !HasToken(e[0], "100-continue") {
				return nil, errExpect
			}
			b.expects = c.r == c.w_ // who has sent already does not wait
		}
		r.Body = b
	}
	return r, nil
}

// tooLong says which limit a head of n bytes is beyond.
func (c *conn) tooLong(n int) error {
	if bytes.IndexByte(c.buf[c.r:c.r+min(n, c.s.Limits.Line)], '\n') < 0 {
		return &Error{http.StatusRequestURITooLong, "The request line is too long."}
	}
	return &Error{http.StatusRequestHeaderFieldsTooLarge, "The headers are too long."}
}

var errIdle = errors.New("idle")

func headError(err error, seen int) error {
	if seen > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return &Error{http.StatusRequestTimeout, "The request did not arrive in time."}
	}
	return errIdle // gone; nobody to tell
}

// refuse answers what was no request and closes.
func (c *conn) refuse(err error) {
	var e *Error
	if !errors.As(err, &e) {
		return
	}
	r := new(http.Request)
	*r = *c.proto
	r.Method, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Close = "GET", "HTTP/1.1", 1, 1, true
	r.Header, r.Body = http.Header{}, http.NoBody
	c.w.start(c, r)
	c.s.Refuse(&c.w, r, e)
	if c.w.finish() == nil {
		c.lingeringClose(true)
	}
}

// read returns buffered bytes first.
func (c *conn) read(p []byte) (int, error) {
	if c.r < c.w_ {
		n := copy(p, c.buf[c.r:c.w_])
		c.r += n
		return n, nil
	}
	return c.raw.Read(p)
}

// fill reads more into the buffer, growing it.
func (c *conn) fill() error {
	if c.w_ == len(c.buf) {
		if c.r > 0 {
			c.w_ = copy(c.buf, c.buf[c.r:c.w_])
			c.r = 0
		}
		if c.w_ == len(c.buf) {
			c.buf = append(c.buf, make([]byte, max(len(c.buf), firstBuffer))...)
		}
	}
	n, err := c.raw.Read(c.buf[c.w_:])
	c.w_ += n
	if n > 0 {
		return nil
	}
	return err
}

// readLine reads a line of at most limit bytes, returned without its CR LF.
func (c *conn) readLine(limit int) (string, error) {
	for {
		have := c.buf[c.r:c.w_]
		if i := bytes.IndexByte(have, '\n'); i >= 0 {
			if i+1 > limit {
				return "", bad("A line of the body is too long.")
			}
			line, _, err := cutLine(string(have[:i+1]))
			c.r += i + 1
			return line, err
		}
		if len(have) >= limit {
			return "", bad("A line of the body is too long.")
		}
		if err := c.fill(); err != nil {
			return "", err
		}
	}
}

// readDeadline lets reads wait d. Setting a deadline costs more than a
// request's parsing, so one that is a second off is left.
func (c *conn) readDeadline(d time.Duration) {
	t := time.Now().Add(d)
	if diff := t.Sub(c.deadline); diff < 0 || diff > min(time.Second, d/8) {
		c.exactReadDeadline(t)
	}
}

func (c *conn) exactReadDeadline(t time.Time) {
	if t != c.deadline {
		c.deadline = t
		c.raw.SetReadDeadline(t)
	}
}

// Server serves HTTP/1 connections.
type Server struct {
	Handler     http.Handler
	Refuse      func(w http.ResponseWriter, r *http.Request, e *Error) // answers what was no request
	Limits      Limits
	HeadTimeout time.Duration // from a request's first byte to its head's end
	IdleTimeout time.Duration // between requests
	BodyTimeout time.Duration // between two pieces of a body, either way
	Log         *slog.Logger

	draining atomic.Bool
	mu       sync.Mutex
	conns    map[*conn]struct{}
	empty    chan struct{} // closed when draining and no connection is left
}

// drainGrace is how long an idle connection stays open when draining, for a
// request that is already on its way. A new one is not idle: who connects means
// to be served, and has HeadTimeout to say what.
const drainGrace = time.Second

// ServeConn serves a connection until it ends. template is what each request
// starts as: its context, RemoteAddr and TLS.
func (s *Server) ServeConn(raw net.Conn, template *http.Request) {
	c := &conn{s: s, raw: raw, proto: template, buf: make([]byte, firstBuffer)}
	c.peer = sock.NewPeer(raw)
	s.mu.Lock()
	if s.conns == nil {
		s.conns = map[*conn]struct{}{}
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		if len(s.conns) == 0 && s.empty != nil {
			close(s.empty)
			s.empty = nil
		}
		s.mu.Unlock()
	}()
	c.serve()
}

// Drain lets each connection finish its request, new ones their first, and idle ones
// a second more, then closes them; when ctx ends all are closed. It waits for that.
func (s *Server) Drain(ctx context.Context) {
	s.draining.Store(true)
	s.mu.Lock()
	if len(s.conns) == 0 {
		s.mu.Unlock()
		return
	}
	empty := make(chan struct{})
	s.empty = empty
	for c := range s.conns {
		if c.idle.Load() {
			c.raw.SetReadDeadline(time.Now().Add(drainGrace))
		}
	}
	s.mu.Unlock()
	select {
	case <-empty:
		return
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.raw.Close()
	}
	s.mu.Unlock()
	<-empty
}
