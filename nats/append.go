package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	appendBatch    = 512      // messages under way at once
	appendBacklog  = 1 << 16  // messages that may wait
	appendMaxBytes = 32 << 20 // bytes that may wait
	appendTimeout  = 5 * time.Second
	subjectsKept   = 4096        // idle subjects are forgotten beyond that
	confessEvery   = time.Second // of one subject
)

// appender stores messages in a stream, in the order in which they came: a
// batch is sent, then its acknowledgements are awaited, and what was not
// acknowledged is sent again with the same number, which tells tails (and for
// a while the server) that they know it. After a failure messages go one by
// one until one was stored, so that none overtakes another that the server was
// not yet ready for.
type appender struct {
	bus    *Bus
	stream string

	mu       sync.Mutex
	queue    []appendMsg
	bytes    int
	appended uint64 // messages ever queued
	stored   uint64 // of those, the ones done with
	subjects map[string]*subject
	confess  *time.Timer   // nil if nothing was dropped
	closed   bool          // nothing is said any more
	wake     chan struct{} // buffered 1: the queue has messages
	progress chan struct{} // closed and replaced when stored grows
}

// subject is what an appender knows of one of its subjects.
type subject struct {
	name    string
	id      string // names the messages, with their number
	last    uint64 // number of the last one
	waiting int    // in the queue
	bytes   int    // of these
	denied  bool   // the server does not take it from us
	dropped int    // not said yet
	since   time.Time
}

type appendMsg struct {
	subject *subject
	number  uint64
	at      hoist.Place
	data    []byte
}

func newAppender(b *Bus, stream string) *appender {
	return &appender{bus: b, stream: stream, subjects: map[string]*subject{},
		wake: make(chan struct{}, 1), progress: make(chan struct{})}
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

// room reports whether a message may wait; a.mu is held. A subject may have as
// much of the backlog as it leaves free, so that a loud one does not take the
// place of others.
func (a *appender) room(s *subject, size int) bool {
	return !s.denied && size <= maxPayload-4096 && // 4096: for headers
		s.waiting < appendBacklog-len(a.queue) && s.bytes+size <= appendMaxBytes-a.bytes
}

func (a *appender) push(s *subject, at hoist.Place, data []byte) {
	s.last++
	s.waiting++
	s.bytes += len(data)
	a.queue = append(a.queue, appendMsg{s, s.last, at, data})
	a.bytes += len(data)
	a.appended++
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// drop counts messages that are lost; a.mu is held. Only logs say so: of a
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

// say adds how many messages of an app's log were dropped to that log, if
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

// lost is how many messages were not stored.
func (a *appender) lost() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.subjects {
		n += s.dropped
	}
	return n + len(a.queue)
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
	for {
		msgs := a.peek(size)
		if len(msgs) == 0 {
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
		n, err := a.send(linked, msgs)
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

// peek returns up to n messages.
func (a *appender) peek(n int) []appendMsg {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.queue[:min(n, len(a.queue))]
}

// done removes n messages from the queue.
func (a *appender) done(n int) {
	if n == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.queue[:n] {
		a.bytes -= len(m.data)
		m.subject.waiting--
		m.subject.bytes -= len(m.data)
	}
	clear(a.queue[:n]) // let the data go
	a.queue = a.queue[n:]
	if len(a.queue) == 0 {
		a.queue = nil
	}
	a.stored += uint64(n)
	close(a.progress)
	a.progress = make(chan struct{})
}

// send publishes msgs and returns how many, from the first, are done with.
// Those after a failure may be stored too, and will be again.
func (a *appender) send(ctx context.Context, msgs []appendMsg) (int, error) {
	acks := make([]jetstream.PubAckFuture, 0, len(msgs))
	for _, m := range msgs {
		msg := natsgo.NewMsg(m.subject.name)
		msg.Data = m.data
		msg.Header.Set(jetstream.MsgIDHeader, m.subject.id+"."+strconv.FormatUint(m.number, 10))
		if m.at != (hoist.Place{}) {
			msg.Header.Set(placeHeader, m.at.Source+"."+strconv.FormatUint(m.at.End, 10))
		}
		ack, err := a.bus.js.PublishMsgAsync(msg, jetstream.WithRetryAttempts(0))
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
				a.bus.log.Error("bus: message refused", "subject", msgs[i].subject.name, "err", err)
				continue
			}
			return i, err
		case <-ctx.Done():
			return i, ctx.Err()
		case <-timeout.C:
			if a.isDenied(msgs[i].subject) { // the server does not acknowledge those
				return i + 1, nil
			}
			return i, errors.New("no acknowledgement")
		}
	}
	if len(acks) < len(msgs) {
		return len(acks), errors.New("not connected")
	}
	return len(acks), nil
}

// refused reports whether the server will never store the message.
func refused(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code == 400
}
