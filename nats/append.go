package nats

import (
	"context"
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
)

// appender stores messages in a stream, in the order in which they came, each
// once: a batch is sent, then its acknowledgements are awaited, and what was
// not acknowledged is sent again under the same message ID. After a failure
// messages go one by one until one was stored, so that none overtakes another
// that the server was not yet ready for.
type appender struct {
	bus    *Bus
	stream string
	id     string // of this appender, for message IDs

	mu       sync.Mutex
	queue    []appendMsg
	bytes    int
	appended uint64 // messages ever queued
	stored   uint64 // of those, the ones done with
	denied   map[string]bool
	wake     chan struct{} // buffered 1: the queue has messages
	progress chan struct{} // closed and replaced when stored grows
}

type appendMsg struct {
	subject string
	data    []byte
}

func newAppender(b *Bus, stream string) *appender {
	return &appender{bus: b, stream: stream, id: hoist.NewID(), denied: map[string]bool{},
		wake: make(chan struct{}, 1), progress: make(chan struct{})}
}

// Append implements hoist.Bus. data must not be changed afterwards.
func (b *Bus) Append(subject string, data []byte) bool {
	stream, err := streamOf(subject)
	if err != nil {
		b.log.Error("bus", "err", err)
		return false
	}
	return b.append[stream].add(appendMsg{subject, data})
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

func (a *appender) add(m appendMsg) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) >= appendBacklog || a.bytes+len(m.data) > appendMaxBytes ||
		len(m.data) > maxPayload-4096 || a.denied[m.subject] { // 4096: room for headers
		return false
	}
	a.queue = append(a.queue, m)
	a.bytes += len(m.data)
	a.appended++
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return true
}

func (a *appender) deny(subject string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.denied[subject] = true
}

func (a *appender) isDenied(subject string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.denied[subject]
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
		msgs, first := a.peek(size)
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
		n, err := a.send(linked, msgs, first)
		cancel()
		a.drop(n)
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

// peek returns up to n messages and the number of the first.
func (a *appender) peek(n int) ([]appendMsg, uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.queue[:min(n, len(a.queue))], a.stored
}

// drop removes n messages from the queue.
func (a *appender) drop(n int) {
	if n == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.queue[:n] {
		a.bytes -= len(m.data)
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
// Those after a failure may be stored too; their IDs keep them from being
// stored twice.
func (a *appender) send(ctx context.Context, msgs []appendMsg, first uint64) (int, error) {
	acks := make([]jetstream.PubAckFuture, 0, len(msgs))
	for i, m := range msgs {
		msg := natsgo.NewMsg(m.subject)
		msg.Data = m.data
		msg.Header.Set(jetstream.MsgIDHeader, a.id+strconv.FormatUint(first+uint64(i), 36))
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
				a.bus.log.Error("bus: message refused", "subject", msgs[i].subject, "err", err)
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
