package router

import (
	"context"

	"github.com/hoist-sh/hoist"
)

// accessLog writes the request lines into the apps' logs. Serving never waits
// for it: what does not fit is dropped, counted and said.
type accessLog struct {
	bus   hoist.Bus
	lines chan line
}

func newAccessLog(bus hoist.Bus) *accessLog {
	return &accessLog{bus: bus, lines: make(chan line, 8192)}
}

func (a *accessLog) add(l line) {
	select {
	case a.lines <- l:
	default:
		a.bus.Drop(hoist.StreamLogs+l.app, 1)
	}
}

// run writes until ctx ends, and then what is left.
func (a *accessLog) run(ctx context.Context) {
	var text []byte
	write := func(l line) {
		text = l.appendText(text[:0])
		a.bus.Append(hoist.StreamLogs+l.app, appendJSON(make([]byte, 0, len(text)+120), l.at, text))
	}
	for {
		select {
		case l := <-a.lines:
			write(l)
		case <-ctx.Done():
			for {
				select {
				case l := <-a.lines:
					write(l)
				default:
					return
				}
			}
		}
	}
}
