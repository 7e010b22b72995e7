package nats

import (
	"context"
	"time"

	"github.com/hoist-sh/hoist"
)

// AppendPace is the least time between two batches that nobody waits for.
const AppendPace = appendPace

// TailFrom is Tail for who has seen the message of a number and time.
func (b *Bus) TailFrom(ctx context.Context, subject string, seq uint64, at time.Time) (<-chan hoist.Message, error) {
	stream, err := streamOf(subject)
	if err != nil {
		return nil, err
	}
	t := &tail{bus: b, stream: stream, subject: subject, follow: true, out: make(chan hoist.Message, 16),
		began: true, seq: seq, time: at}
	go t.run(ctx)
	return t.out, nil
}
