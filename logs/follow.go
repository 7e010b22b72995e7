package logs

import (
	"context"
	"fmt"
	"time"

	"github.com/hoist-sh/hoist"
)

// place is where a reader is in an app's stream, and what it shows of it.
type place struct {
	cursor
	filter filter
	began  bool   // something after it was read
	last   uint64 // number of the last message of this tail
}

// take returns what the reader gets of the next message: the line, if it is new
// and the filter lets it through, and before it what is missing there.
func (p *place) take(m hoist.Message) (got []entry) {
	// A tail's numbers rise, unless the bus gives them again: with earlier times, too, if its clock was set back.
	again := m.Seq <= p.last
	if p.last = m.Seq; p.seen(m) && !again {
		p.began = true
		return nil
	}
	since := p.time
	switch {
	case m.Missed > 0:
		got = append(got, missing(m.Time, m.Missed, since))
	case !p.began && p.seq > 0: // nor is that kept which was seen last
		got = append(got, notKept(m.Time, since))
	}
	p.cursor, p.began = cursorAt(m), true
	if e, ok := p.filter.entry(m); ok {
		got = append(got, e)
	}
	return got
}

// history reads the kept lines of an app after a place in its stream, the
// last n of those that the filter lets through, in the stream's order, into h; it returns the
// place where they end. The filter comes first, so that a quiet dyno's lines are
// found behind a loud one's.
func (s *Server) history(ctx context.Context, app hoist.ID, from place, n int, h *history) (place, error) {
	h.free()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	messages, err := s.bus.Tail(ctx, hoist.StreamLogs+app, false)
	if err != nil {
		return from, err
	}
	for m := range messages {
		for _, e := range from.take(m) {
			h.add(e, n)
		}
	}
	return from, ctx.Err()
}

// patientHistory is history that waits for the bus until ctx ends.
func (s *Server) patientHistory(ctx context.Context, app hoist.ID, from place, n int, h *history) (place, error) {
	for {
		try, cancel := context.WithTimeout(ctx, busPatience)
		end, err := s.history(try, app, from, n, h)
		cancel()
		s.busIs(err)
		if err == nil {
			return end, nil
		}
		select {
		case <-ctx.Done():
			return from, fmt.Errorf("message bus: %w", err)
		case <-time.After(retryEvery):
		}
	}
}

// follow adds the lines after a place in the stream to b until ctx ends. When
// the bus goes away it waits and goes on where it was.
func (s *Server) follow(ctx context.Context, app hoist.ID, from place, b *backlog) {
	for ctx.Err() == nil {
		from.began, from.last = false, 0
		messages, err := s.bus.Tail(ctx, hoist.StreamLogs+app, true)
		if err != nil {
			s.busIs(err)
		} else {
			for m := range messages {
				b.add(from.take(m), from.cursor)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
}
