package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	appendBatch    = 512      // messages under way at once
	appendBacklog  = 1 << 16  // entries that may wait
	appendMaxBytes = 32 << 20 // bytes that may wait
	// What comes one by one goes together, the first one at once, or each entry would wake two processes up.
	appendPace    = 20 * time.Millisecond // from one batch to the next, if nobody waits for it
	appendMuch    = 32 << 10              // bytes that do not wait for more
	appendTimeout = 5 * time.Second
	subjectsKept  = 4096        // idle subjects are forgotten beyond that
	confessEvery  = time.Second // of one subject
)

// appender stores entries in a stream, in the order in which they came, several to a message: a
// batch of messages is sent, then its acknowledgements are awaited, and what was not
// acknowledged is sent again with the same number, which tells tails (and for
// a while the server) that they know it. After a failure messages go one by
// one until one was stored, so that none overtakes another that the server was
// not yet ready for.
type appender struct {
	bus    *Bus
	stream string

	mu       sync.Mutex
	queue    []*bundle
	bytes    int
	appended uint64 // entries ever queued
	stored   uint64 // of those, the ones done with
	subjects map[string]*subject
	confess  *time.Timer   // nil if nothing was dropped
	closed   bool          // nothing is said any more
	wake     chan struct{} // buffered 1: the queue is not empty
	hurry    chan struct{} // buffered 1: it is not to wait for more
	progress chan struct{} // closed and replaced when stored grows
}

// subject is what an appender knows of one of its subjects.
type subject struct {
	name    string
	id      string  // names the entries, with their number
	last    uint64  // number of the last one
	open    *bundle // the last in the queue, if more entries may go with it
	waiting int     // entries in the queue
	bytes   int     // of these
	denied  bool    // the server does not take it from us
	dropped int     // not said yet
	since   time.Time
}

func newAppender(b *Bus, stream string) *appender {
	return &appender{bus: b, stream: stream, subjects: map[string]*subject{},
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), progress: make(chan struct{})}
}

// Append implements hoist.Bus. data must not be changed afterwards.
func (b *Bus) Append(subject string, data []byte) bool {
	return b.AppendAt(subject, hoist.Place{}, data)
}

// AppendAt implements hoist.Bus. data must not be changed afterwards.
func (b *Bus) AppendAt(subject string, at hoist.Place, data []byte) bool {
	a := b.appender(subject)
	return a != nil && a.add(subject, at, data)
}

// Drop implements hoist.Bus.
func (b *Bus) Drop(subject string, n int) {
	if a := b.appender(subject); a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.drop(a.subject(subject), n)
	}
}

// Flush implements hoist.Bus.
func (b *Bus) Flush(ctx context.Context) error {
	for _, a := range b.append {
		if err := a.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bus) appender(subject string) *appender {
	stream, err := streamOf(subject)
	if err != nil {
		b.log.Error("bus", "err", err)
		return nil
	}
	return b.append[stream]
}

func (a *appender) add(name string, at hoist.Place, data []byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.subject(name)
	if s.dropped > 0 && time.Since(s.since) >= confessEvery {
		a.say(s) // where they are missing
	}
	if !a.room(s, len(data)) {
		a.drop(s, 1)
		return false
	}
	a.push(s, at, data)
	return true
}

// subject returns what is known of a subject; a.mu is held. Subjects are
// forgotten, as builds and apps come and go: a later one has another id.
func (a *appender) subject(name string) *subject {
	if s := a.subjects[name]; s != nil {
		return s
	}
	if len(a.subjects) >= subjectsKept {
		for name, s := range a.subjects {
			if s.waiting == 0 && s.dropped == 0 && !s.denied {
				delete(a.subjects, name)
			}
		}
	}
	s := &subject{name: name, id: hoist.NewID()}
	a.subjects[name] = s
	return s
}

// room reports whether an entry may wait; a.mu is held. A subject may have as
// much of the backlog as it leaves free, so that a loud one does not take the
// place of others.
func (a *appender) room(s *subject, size int) bool {
	return !s.denied && size <= maxPayload-4096 && // 4096: for headers
		s.waiting < appendBacklog-int(a.appended-a.stored) && s.bytes+size <= appendMaxBytes-a.bytes
}

func (a *appender) push(s *subject, at hoist.Place, data []byte) {
	if s.open == nil || !s.open.takes(at, data) {
		s.open = &bundle{subject: s, last: s.last}
		a.queue = append(a.queue, s.open)
		signal(a.wake)
	}
	n := s.open.add(at, data)
	s.last++
	s.waiting++
	s.bytes += n
	a.bytes += n
	a.appended++
	if a.bytes >= appendMuch {
		signal(a.hurry)
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// drop counts entries that are lost; a.mu is held. Only logs say so: of a
// build the row has the output.
func (a *appender) drop(s *subject, n int) {
	if a.stream != streamLogs || s.denied || n == 0 {
		return
	}
	if s.dropped == 0 {
		s.since = time.Now()
	}
	s.dropped += n
	if a.confess == nil && !a.closed {
		a.confess = time.AfterFunc(confessEvery, a.sayAll)
	}
}

// say adds how many entries of an app's log were dropped to that log, if
// there is room; a.mu is held. The line is Heroku's
// (https://devcenter.heroku.com/articles/error-codes#l10-drain-buffer-overflow).
func (a *appender) say(s *subject) {
	data, err := json.Marshal(hoist.LogLine{Time: time.Now(), Source: "heroku", Dyno: "logs",
		Text: fmt.Sprintf("Error L10 (output buffer overflow): %d messages dropped since %s.",
			s.dropped, s.since.UTC().Format("2006-01-02T15:04:05-07:00"))})
	if err == nil && a.room(s, len(data)) {
		s.dropped = 0
		a.push(s, hoist.Place{}, data)
	}
}

// sayAll says what add had no occasion to say, until there is nothing.
func (a *appender) sayAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	left := 0
	for _, s := range a.subjects {
		if s.dropped > 0 {
			a.say(s)
		}
		left += s.dropped
	}
	if left > 0 && !a.closed {
		a.confess.Reset(confessEvery)
	} else {
		a.confess = nil
	}
}

// close says what is to be said; what comes later is not.
func (a *appender) close() {
	a.mu.Lock()
	a.closed = true
	if a.confess != nil {
		a.confess.Stop()
	}
	a.mu.Unlock()
	a.sayAll()
}

// lost is how many entries were not stored.
func (a *appender) lost() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.subjects {
		n += s.dropped
	}
	return n + int(a.appended-a.stored)
}

func (a *appender) deny(subject string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.subject(subject).denied = true
}

func (a *appender) isDenied(s *subject) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return s.denied
}

func (a *appender) flush(ctx context.Context) error {
	a.mu.Lock()
	target := a.appended
	a.mu.Unlock()
	for {
		a.mu.Lock()
		stored, progress := a.stored, a.progress
		a.mu.Unlock()
		if stored >= target {
			return nil
		}
		signal(a.hurry)
		select {
		case <-ctx.Done():
			return fmt.Errorf("bus: %d messages not stored: %w", target-stored, ctx.Err())
		case <-progress:
		}
	}
}

// run sends the queue until ctx ends.
func (a *appender) run(ctx context.Context) {
	size := 1
	var began time.Time // to send the last batch
	for {
		if wait := appendPace - time.Since(began); size > 1 && wait > 0 {
			select {
			case <-ctx.Done():
				return
			case <-a.hurry:
			case <-time.After(wait):
			}
		}
		batch := a.peek(size)
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-a.wake:
			}
			continue
		}
		linked, cancel, ok := a.bus.link.wait(ctx)
		if !ok {
			return
		}
		began = time.Now()
		n, err := a.send(linked, batch)
		cancel()
		a.done(n)
		if err == nil {
			size = appendBatch
			continue
		}
		size = 1
		if ctx.Err() != nil {
			return
		}
		if a.bus.Connected() {
			a.bus.log.Warn("bus: could not store, trying again", "stream", a.stream, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// peek returns up to n messages, which stay as they are.
func (a *appender) peek(n int) []*bundle {
	a.mu.Lock()
	defer a.mu.Unlock()
	batch := a.queue[:min(n, len(a.queue))]
	for _, b := range batch {
		if b.subject.open == b {
			b.subject.open = nil
		}
	}
	return batch
}

// done removes n messages from the queue.
func (a *appender) done(n int) {
	if n == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range a.queue[:n] {
		a.bytes -= len(b.data)
		b.subject.waiting -= b.entries
		b.subject.bytes -= len(b.data)
		a.stored += uint64(b.entries)
	}
	clear(a.queue[:n]) // let the data go
	a.queue = a.queue[n:]
	if len(a.queue) == 0 {
		a.queue = nil
	}
	close(a.progress)
	a.progress = make(chan struct{})
}

// send publishes a batch and returns how many, from the first, are done with.
// Those after a failure may be stored too, and will be again.
func (a *appender) send(ctx context.Context, batch []*bundle) (int, error) {
	acks := make([]jetstream.PubAckFuture, 0, len(batch))
	for _, b := range batch {
		ack, err := a.bus.js.PublishMsgAsync(b.message(), jetstream.WithRetryAttempts(0))
		if err != nil {
			break
		}
		acks = append(acks, ack)
	}
	timeout := time.NewTimer(appendTimeout)
	defer timeout.Stop()
	for i, ack := range acks {
		select {
		case <-ack.Ok():
			continue
		case err := <-ack.Err():
			if refused(err) {
				a.bus.log.Error("bus: message refused", "subject", batch[i].subject.name, "err", err)
				continue
			}
			return i, err
		case <-ctx.Done():
			return i, ctx.Err()
		case <-timeout.C:
			if a.isDenied(batch[i].subject) { // the server does not acknowledge those
				return i + 1, nil
			}
			return i, errors.New("no acknowledgement")
		}
	}
	if len(acks) < len(batch) {
		return len(acks), errors.New("not connected")
	}
	return len(acks), nil
}

// refused reports whether the server will never store the message.
func refused(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code == 400
}
