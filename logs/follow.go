package logs

import (
	"context"
	"fmt"
	"time"

	"github.com/hoist-sh/hoist"
)

// history returns the kept lines of an app after a place in its stream, the
// last n of those that the filter lets through, in the stream's order; and the
// place where it ends. The filter comes first, so that a quiet dyno's lines are
// found behind a loud one's.
func (s *Server) history(ctx context.Context, app hoist.ID, f filter, after cursor, n int) ([]entry, cursor, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	messages, err := s.bus.Tail(ctx, hoist.StreamLogs+app, hoist.LogKeep, false)
	if err != nil {
		return nil, after, err
	}
	var lines []entry
	for m := range messages {
		if after.seen(m) {
			continue
		}
		after = cursorAt(m)
		if e, ok := f.entry(m); ok {
			lines = append(lines, e)
		}
		if extra := len(lines) - n; extra > 0 {
			lines = lines[extra:]
		}
	}
	return lines, after, ctx.Err()
}

// patientHistory is history that waits for the bus until ctx ends.
func (s *Server) patientHistory(ctx context.Context, app hoist.ID, f filter, after cursor, n int) ([]entry, cursor, error) {
	for {
		try, cancel := context.WithTimeout(ctx, busPatience)
		lines, end, err := s.history(try, app, f, after, n)
		cancel()
		s.busIs(err)
		if err == nil {
			return lines, end, nil
		}
		select {
		case <-ctx.Done():
			return nil, after, fmt.Errorf("message bus: %w", err)
		case <-time.After(retryEvery):
		}
	}
}

// follow adds the lines after a place in the stream to b until ctx ends. When
// the bus goes away it waits and goes on where it was.
func (s *Server) follow(ctx context.Context, app hoist.ID, f filter, after cursor, b *backlog) {
	for ctx.Err() == nil {
		messages, err := s.bus.Tail(ctx, hoist.StreamLogs+app, hoist.LogKeep, true)
		if err != nil {
			s.busIs(err)
		} else {
			for m := range messages {
				if after.seen(m) {
					continue
				}
				after = cursorAt(m)
				if e, ok := f.entry(m); ok {
					b.add(e)
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
}
