package router

import (
	"math"
	"net/http"
	"sync"
	"time"
)

// patience ends the stream of an HTTP/2 client that does not take one piece of the answer in
// the idle time. The server of HTTP/2 would wait for it for ever, as long as it answers pings; that of HTTP/1
// has time-outs of its own. A nil one does nothing.
type patience struct {
	client *http.ResponseController
	idle   time.Duration
	timer  *time.Timer

	mu      sync.Mutex
	began   time.Time // the write under way; zero between two
	stalled bool
}

// streamTimeout is the WriteTimeout that the server of HTTP/2 needs: never, but there is one. With it each stream has a
// timer from its beginning, which closing it stops. The one that last sets could else be made after that, and would
// stay for the idle time, to reset a stream that is no more.
const streamTimeout time.Duration = math.MaxInt64

func newPatience(w http.ResponseWriter, idle time.Duration) *patience {
	return &patience{client: http.NewResponseController(w), idle: idle}
}

// begin and end enclose each write. A deadline cannot stand between two: it would end a stream
// on which the app is silent.
func (p *patience) begin() {
	if p == nil {
		return
	}
	p.setBegan(time.Now())
	if p.timer == nil {
		p.timer = time.AfterFunc(p.idle, p.giveUp)
	} else {
		p.timer.Reset(p.idle)
	}
}

func (p *patience) end() {
	if p != nil {
		p.timer.Stop()
		p.setBegan(time.Time{})
	}
}

func (p *patience) setBegan(t time.Time) {
	p.mu.Lock()
	p.began = t
	p.mu.Unlock()
}

// giveUp is run when a write takes too long. It may come when that has ended just now: the next one is not to blame, and
// if the handler has returned its ResponseWriter may not be used any more.
func (p *patience) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.began.IsZero() && time.Since(p.began) >= p.idle {
		p.stalled = true
		p.client.SetWriteDeadline(time.Unix(1, 0))
	}
}

// last is for what the server still has to send when the handler has returned.
func (p *patience) last() {
	if p != nil {
		p.client.SetWriteDeadline(time.Now().Add(p.idle))
	}
}

// gaveUp reports whether the stream was ended.
func (p *patience) gaveUp() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stalled
}
