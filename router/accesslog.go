package router

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
)

// accessLog writes the request lines into the apps' logs. Serving never waits
// for it: what does not fit is dropped, counted and said.
type accessLog struct {
	bus   hoist.Bus
	lines chan line

	mu      sync.Mutex
	dropped map[hoist.ID]int
}

func newAccessLog(bus hoist.Bus) *accessLog {
	return &accessLog{bus: bus, lines: make(chan line, 8192), dropped: map[hoist.ID]int{}}
}

func (a *accessLog) add(l line) {
	select {
	case a.lines <- l:
	default:
		a.drop(l.app, 1)
	}
}

func (a *accessLog) drop(app hoist.ID, n int) {
	a.mu.Lock()
	a.dropped[app] += n
	a.mu.Unlock()
}

// run writes until ctx ends, and then what is left.
func (a *accessLog) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var text []byte
	write := func(l line) {
		text = l.appendText(text[:0])
		if !a.bus.Append(hoist.StreamLogs+l.app, appendJSON(make([]byte, 0, len(text)+120), l.at, text)) {
			a.drop(l.app, 1)
		}
	}
	for {
		select {
		case l := <-a.lines:
			write(l)
		case <-tick.C:
			a.confess()
		case <-ctx.Done():
			for {
				select {
				case l := <-a.lines:
					write(l)
				default:
					a.confess()
					return
				}
			}
		}
	}
}

// confess says in each app's log how many of its lines were dropped.
func (a *accessLog) confess() {
	a.mu.Lock()
	dropped := a.dropped
	a.dropped = map[hoist.ID]int{}
	a.mu.Unlock()
	for app, n := range dropped {
		text := fmt.Sprintf(`at=warning desc="%d router lines dropped: they came faster than they could be written"`, n)
		if !a.bus.Append(hoist.StreamLogs+app, appendJSON(nil, time.Now(), []byte(text))) {
			a.drop(app, n)
		}
	}
}
