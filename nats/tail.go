package nats

import (
	"context"
	"fmt"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/nats-io/nats.go/jetstream"
)

// Tail implements hoist.Bus. While the
// bus is away it waits; it goes on where it was when the bus is back.
func (b *Bus) Tail(ctx context.Context, subject string, follow bool) (<-chan hoist.Message, error) {
	stream, err := streamOf(subject)
	if err != nil {
		return nil, err
	}
	t := &tail{bus: b, stream: stream, subject: subject, follow: follow, out: make(chan hoist.Message, 16)}
	go t.run(ctx)
	return t.out, nil
}

type tail struct {
	bus             *Bus
	stream, subject string
	follow          bool
	out             chan hoist.Message

	began  bool
	once   once
	missed uint64 // entries since the last one sent
	seq    uint64 // of the last message sent
	time   time.Time
	left   uint64 // messages of the history still to come
}

func (t *tail) run(ctx context.Context) {
	defer close(t.out)
	for {
		linked, cancel, ok := t.bus.link.wait(ctx)
		if !ok {
			return
		}
		err := t.read(ctx, linked)
		cancel()
		if err == nil || ctx.Err() != nil {
			return
		}
		if t.bus.Connected() {
			t.bus.log.Debug("tail: once more", "subject", t.subject, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// read sends entries from after the last message until the link or something else breaks;
// nil means that all were sent.
func (t *tail) read(ctx, linked context.Context) error {
	consumer, err := t.consumer(linked)
	if err != nil {
		return err
	}
	name := consumer.CachedInfo().Name
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(linked), time.Second)
		defer cancel()
		if t.bus.Connected() {
			t.bus.js.DeleteConsumer(bye, t.stream, name)
		}
	}()
	if t.finished() {
		return nil
	}
	msgs, err := consumer.Messages(jetstream.PullMaxMessages(256), jetstream.PullExpiry(30*time.Second),
		jetstream.PullHeartbeat(5*time.Second), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return err
	}
	defer msgs.Stop()
	for delivered := uint64(1); ; delivered++ {
		m, err := msgs.Next(jetstream.NextContext(linked))
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != delivered {
			return fmt.Errorf("message %d came as %d", delivered, meta.Sequence.Consumer)
		}
		if meta.Sequence.Stream <= t.seq && !meta.Timestamp.After(t.time) {
			if t.left = min(t.left, meta.NumPending); t.finished() {
				return nil
			}
			continue
		}
		for i, e := range entries(m.Headers(), m.Data()) {
			missing, known := t.once.take(e)
			if t.missed += missing; known {
				continue
			}
			seq := meta.Sequence.Stream<<bundleBits | uint64(i)
			select {
			case t.out <- hoist.Message{Seq: seq, Time: meta.Timestamp, Data: e.data, Missed: int(t.missed)}:
				t.missed = 0
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		t.seq, t.time = meta.Sequence.Stream, meta.Timestamp
		t.left = min(t.left-min(t.left, 1), meta.NumPending)
		if t.finished() {
			return nil
		}
	}
}

func (t *tail) finished() bool { return !t.follow && t.left == 0 }

// consumer makes a consumer that starts after the last message, or at it. It lives in the
// server's memory, so it is made anew after each outage.
func (t *tail) consumer(ctx context.Context) (jetstream.Consumer, error) {
	info, err := t.bus.js.Stream(ctx, t.stream)
	if err != nil {
		return nil, err
	}
	stream := info.CachedInfo().State
	config := jetstream.ConsumerConfig{
		Name:              "tail-" + hoist.NewID(),
		FilterSubject:     t.subject,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		InactiveThreshold: time.Minute,
	}
	// A power cut may have cost the stream its end, and what came since has the same numbers
	// again: what is new is found by the time. Unless all there is has an earlier one, as the
	// clock was set back or nothing came.
	if t.time.IsZero() || stream.LastTime.Before(t.time) {
		if stream.LastSeq <= t.seq { // what comes now is new, whatever was seen with its number, and later
			t.seq, t.time = stream.LastSeq, stream.LastTime
		}
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, min(t.seq, stream.LastSeq)+1
	} else {
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &t.time
	}
	consumer, err := t.bus.js.CreateConsumer(ctx, t.stream, config)
	if err != nil {
		return nil, err
	}
	pending := consumer.CachedInfo().NumPending
	if !t.began {
		t.began = true
		t.left = pending
	} else {
		t.left = min(t.left, pending)
	}
	return consumer, nil
}
