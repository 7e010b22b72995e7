package router

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hoist-sh/hoist/router/sock"
)

const (
	// maxIdle is how long a connection is kept for the next request. It is
	// shorter than the patience of the servers people use (gunicorn's is 2 s,
	// Node's 5 s): one that closes just when a request is sent would cost that
	// request, which must not be sent twice.
	maxIdle = time.Second
	// maxIdleLinks bounds the connections kept to one backend.
	maxIdleLinks = 1024
	// quarantine is how long a backend that refused is chosen last.
	quarantine = 5 * time.Second
	// responseHead bounds a response's head, in bytes.
	responseHead = 512 << 10
	// glance is how often we look, while waiting for a dyno, if the client is
	// still there.
	glance = time.Second
)

// moment is a point in time as atomics can hold it, in nanoseconds since the router's start. It goes on
// evenly whatever is done to the machine's clock, which must not end a request.
func moment(t time.Time) int64 { return int64(t.Sub(epoch)) }

var epoch = time.Now()

// backend is one dyno or process that serves HTTP, and our connections to it.
type backend struct {
	name     string // "web.1", "api"
	id       string // the dyno's
	addr     string // ip:port
	inflight atomic.Int64
	refused  atomic.Int64 // the moment when it refused a connection last; 0 if it never did

	mu      sync.Mutex
	idle    []*link // the last used at the end
	retired bool
}

// link is a connection to a backend.
type link struct {
	b        *backend
	raw      net.Conn
	peer     *sock.Peer
	br       *bufio.Reader // reads through Read
	bw       *bufio.Writer // writes through Write
	idleFrom time.Time

	budget        int64        // bytes that may be read: bounds the head
	active        atomic.Int64 // the moment when a byte went either way last
	window        atomic.Int64 // how long there may be none, in nanoseconds
	phase         phase        // under b.mu
	gone          func() bool  // whether the client has gone
	got           bool         // a byte of the response
	readDeadline  time.Time
	writeDeadline time.Time
}

var (
	errTimeout    = errors.New("timeout")
	errClientGone = errors.New("client gone")
	errHeadTooBig = errors.New("the response's head is too big")
)

// get returns a connection: a kept one that is still good, or a new one.
func (b *backend) get(timeout time.Duration) (*link, error) {
	for {
		b.mu.Lock()
		n := len(b.idle)
		if n == 0 {
			b.mu.Unlock()
			break
		}
		l := b.idle[n-1]
		b.idle[n-1] = nil
		b.idle = b.idle[:n-1]
		b.mu.Unlock()
		if time.Since(l.idleFrom) < maxIdle && l.peer.Quiet() {
			return l, nil
		}
		l.raw.Close()
	}
	raw, err := net.DialTimeout("tcp", b.addr, timeout)
	if err != nil {
		b.refused.Store(moment(time.Now()))
		return nil, err
	}
	return newLink(b, raw), nil
}

func newLink(b *backend, raw net.Conn) *link {
	l := &link{b: b, raw: raw, peer: sock.NewPeer(raw)}
	l.br = bufio.NewReaderSize(l, 8<<10)
	l.bw = bufio.NewWriterSize(l, 4<<10)
	return l
}

// put keeps a connection for the next request.
func (b *backend) put(l *link) {
	l.gone = nil
	l.idleFrom = time.Now()
	b.mu.Lock()
	if keep := !b.retired && len(b.idle) < maxIdleLinks; keep {
		b.idle = append(b.idle, l)
		b.mu.Unlock()
		return
	}
	b.mu.Unlock()
	l.raw.Close()
}

// sweep closes connections that were idle for too long; all if retire is set,
// and those in use when they are put back.
func (b *backend) sweep(now time.Time, retire bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retired = b.retired || retire
	n := 0
	for n < len(b.idle) && (retire || now.Sub(b.idle[n].idleFrom) >= maxIdle) {
		b.idle[n].raw.Close()
		n++
	}
	b.idle = append(b.idle[:0:0], b.idle[n:]...)
}

// quarantined reports whether it has refused a connection just now.
func (b *backend) quarantined(now time.Time) bool {
	at := b.refused.Load()
	return at != 0 && moment(now)-at < int64(quarantine)
}

// phase is how far a request is; silence is measured differently in each.
type phase int

const (
	asking    phase = iota // its body is being sent
	expecting              // all is sent, nothing has come
	answering              // the answer comes
)

// advance enters a phase unless a later one has begun.
func (l *link) advance(to phase, window time.Duration) {
	l.b.mu.Lock()
	if to >= l.phase {
		l.phase = to
		l.window.Store(int64(window))
	}
	l.b.mu.Unlock()
}

// begin readies the link for a request whose client gone asks for.
func (l *link) begin(now time.Time, window time.Duration, gone func() bool) {
	l.gone, l.got, l.budget, l.phase = gone, false, responseHead, asking
	l.active.Store(moment(now))
	l.window.Store(int64(window))
}

// headDone lets the body be as long as it likes and window apart.
func (l *link) headDone(window time.Duration) {
	l.budget = math.MaxInt64
	l.advance(answering, window)
}

// Read reads what the backend sends, for as long as the window of silence and
// the client's patience allow. Its deadlines are only glances, so an old one
// does as well as a new one: setting one costs more than most reads.
func (l *link) Read(p []byte) (int, error) {
	if l.budget <= 0 {
		return 0, errHeadTooBig
	}
	for {
		now := time.Now()
		if l.readDeadline.Sub(now) < glance/4 {
			l.readDeadline = now.Add(min(glance, time.Duration(l.window.Load())))
			l.raw.SetReadDeadline(l.readDeadline)
		}
		n, err := l.raw.Read(p)
		if n > 0 {
			l.got = true
			l.budget -= int64(n)
			l.active.Store(moment(time.Now()))
			return n, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		if l.gone != nil && l.gone() {
			return 0, errClientGone
		}
		if moment(time.Now())-l.active.Load() >= l.window.Load() {
			return 0, errTimeout
		}
	}
}

// Write sends to the backend.
func (l *link) Write(p []byte) (int, error) {
	now := time.Now()
	window := time.Duration(l.window.Load())
	if l.writeDeadline.Sub(now) < window*7/8 {
		l.writeDeadline = now.Add(window)
		l.raw.SetWriteDeadline(l.writeDeadline)
	}
	n, err := l.raw.Write(p)
	l.active.Store(moment(time.Now()))
	return n, err
}

var _ io.ReadWriter = (*link)(nil)
