package api

import (
	"context"

	"github.com/hoist-sh/hoist"
)

type clockDB interface {
	// BackToThePresent mends times that are from the future, as the clock was
	// set back since they were written.
	BackToThePresent(ctx context.Context) (rows int64, err error)
}

// watchClock has nothing wait for a time that was meant to be long ago, until ctx ends.
func (s *Server) watchClock(ctx context.Context) error {
	for {
		switch n, err := s.DB.BackToThePresent(ctx); {
		case err != nil && ctx.Err() == nil:
			s.Log.Warn("cannot look for times in the future", "err", err)
		case n > 0:
			s.Log.Warn("the clock was set back; what was to happen later than it could happens now", "rows", n)
		}
		if !sleep(ctx, hoist.ResyncInterval) {
			return ctx.Err()
		}
	}
}
