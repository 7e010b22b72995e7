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
	at     cursor    // what was looked at, also of what the filter hides
	missed int       // lines dropped since the last take
	since  time.Time // when the first of them was
	ready  chan struct{}
	first  chan []entry // history, handed to the reader as it is: it has bounds of its own
}

func newBacklog() *backlog {
	return &backlog{ready: make(chan struct{}, 1), first: make(chan []entry)}
}

// add adds what there is up to a place of the stream.
func (b *backlog) add(lines []entry, at cursor) {
	b.mu.Lock()
	b.at = at
	for _, e := range lines {
		b.lines = append(b.lines, e)
		b.bytes += len(e.text)
	}
	for b.bytes > backlogLimit && len(b.lines) > 1 {
		oldest := b.lines[0]
		if b.missed == 0 {
			b.since = oldest.when()
		}
		b.missed += max(oldest.missing, 1)
		b.bytes -= len(oldest.text)
		b.lines[0] = entry{}
		b.lines = b.lines[1:]
	}
	b.mu.Unlock()
	if len(lines) == 0 {
		return
	}
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take waits until there are lines, until tick, or until ctx ends, and returns
// what there is, and the place from which a reader goes on that has all this.
func (b *backlog) take(ctx context.Context, tick <-chan time.Time) ([]entry, cursor) {
	select {
	case <-ctx.Done():
		return nil, cursor{}
	case lines := <-b.first:
		return lines, cursor{}
	case <-tick:
	case <-b.ready:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines
	if b.missed > 0 {
		lines = append([]entry{missing(lines[0].when(), b.missed, b.since)}, lines...)
	}
	b.lines, b.bytes, b.missed = nil, 0, 0
	return lines, b.at
}

// missing is Heroku's line for readers who fell behind
// (https://devcenter.heroku.com/articles/error-codes#l11-tail-buffer-overflow).
// A reader falls behind also when more comes at once than is kept.
func missing(at time.Time, lines int, since time.Time) entry {
	e := overflow(at, fmt.Sprintf("This reader was too slow and missed %d lines since %s.", lines, since.UTC().Format(timeFormat)))
	e.missing, e.since = lines, since
	return e
}

// leftOut is for readers of a history that is too long for the memory that is left.
func leftOut(at time.Time, lines int, since time.Time) entry {
	e := overflow(at, fmt.Sprintf("Many people read long logs just now: %d lines since %s are left out.", lines, since.UTC().Format(timeFormat)))
	e.missing, e.since = lines, since
	return e
}

// notKept is for readers who come back so late that nobody knows how much they missed.
func notKept(at, since time.Time) entry {
	e := overflow(at, fmt.Sprintf("This reader was away for too long: lines since %s may be missing, as %d are kept.",
		since.UTC().Format(timeFormat), hoist.LogKeep))
	e.missing, e.since = 1, since
	return e
}

func overflow(at time.Time, text string) entry {
	return entry{text: Format(hoist.LogLine{Time: at, Source: "heroku", Dyno: "logs", Text: "Error L11 (Tail buffer overflow) -> " + text})}
}
