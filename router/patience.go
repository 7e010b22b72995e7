package router

import (
	"net/http"
	"sync/atomic"
	"time"
)

// patience ends the stream of an HTTP/2 client that does not take one piece of the answer in
// the idle time. The server of HTTP/2 would wait for it for ever, as long as it answers pings; that of HTTP/1
// has time-outs of its own. A nil one does nothing.
type patience struct {
	client  *http.ResponseController
	idle    time.Duration
	timer   *time.Timer
	stalled atomic.Bool
}

func newPatience(w http.ResponseWriter, idle time.Duration) *patience {
	return &patience{client: http.NewResponseController(w), idle: idle}
}

// begin and end enclose each write. A deadline cannot stand between two: it would end a stream
// on which the app is silent.
func (p *patience) begin() {
	if p == nil {
		return
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(p.idle, func() {
			p.stalled.Store(true)
			p.client.SetWriteDeadline(time.Unix(1, 0))
		})
	} else {
		p.timer.Reset(p.idle)
	}
}

func (p *patience) end() {
	if p != nil {
		p.timer.Stop()
	}
}

// last is for what the server still has to send when the handler has returned.
func (p *patience) last() {
	if p != nil {
		p.client.SetWriteDeadline(time.Now().Add(p.idle))
	}
}

// gaveUp reports whether the stream was ended.
func (p *patience) gaveUp() bool { return p != nil && p.stalled.Load() }
