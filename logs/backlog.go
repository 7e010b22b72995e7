package logs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
)

// backlogLimit is how many bytes of text wait for a reader that falls behind.
const backlogLimit = 1 << 20

// backlog is what stands between the bus and one reader. A reader too slow for
// it loses the oldest lines and is told so; nobody else notices.
type backlog struct {
	mu     sync.Mutex
	lines  []entry
	bytes  int
	missed int       // lines dropped since the last take
	since  time.Time // when the first of them was
	ready  chan struct{}
	first  chan []entry // history, handed to the reader as it is: LogKeep bounds it
}

func newBacklog() *backlog {
	return &backlog{ready: make(chan struct{}, 1), first: make(chan []entry)}
}

func (b *backlog) add(e entry) {
	b.mu.Lock()
	b.lines = append(b.lines, e)
	b.bytes += len(e.text)
	for b.bytes > backlogLimit && len(b.lines) > 1 {
		if b.missed == 0 {
			b.since = b.lines[0].at.time
		}
		b.missed++
		b.bytes -= len(b.lines[0].text)
		b.lines[0] = entry{}
		b.lines = b.lines[1:]
	}
	b.mu.Unlock()
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take waits until there are lines, until tick, or until ctx ends, and returns
// what there is.
func (b *backlog) take(ctx context.Context, tick <-chan time.Time) []entry {
	select {
	case <-ctx.Done():
		return nil
	case lines := <-b.first:
		return lines
	case <-tick:
	case <-b.ready:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines
	if b.missed > 0 {
		lines = append([]entry{overflow(lines[0].at.time, b.missed, b.since)}, lines...)
	}
	b.lines, b.bytes, b.missed = nil, 0, 0
	return lines
}

// overflow is Heroku's line for readers who fell behind
// (https://devcenter.heroku.com/articles/error-codes#l11-tail-buffer-overflow). It
// stands at no place of the stream: nobody can go on from it.
func overflow(at time.Time, missed int, since time.Time) entry {
	return entry{text: Format(hoist.LogLine{
		Time: at, Source: "heroku", Dyno: "logs",
		Text: fmt.Sprintf("Error L11 (Tail buffer overflow) -> This reader was too slow and missed %d lines since %s.",
			missed, since.UTC().Format(timeFormat)),
	})}
}
