package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hoist-sh/hoist"
)

// watchMemory says in the app's log when a dyno uses more memory than its quota, every
// MemoryInterval for as long as it does, in the words of Heroku's log-runtime-metrics
// (https://devcenter.heroku.com/articles/error-codes#r14-memory-quota-exceeded).
func (s *supervisor) watchMemory(ctx context.Context, d hoist.Dyno, ended <-chan struct{}) {
	quota := sizeOf(d).Memory
	tick := time.NewTicker(s.r.cfg.MemoryInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-tick.C:
		}
		used, err := s.r.engine.Memory(ctx, d.ID)
		switch {
		case err != nil && !errors.Is(err, hoist.ErrNotFound) && ctx.Err() == nil:
			s.log.Warn("how much memory the dyno uses is not known", "error", err)
		case err == nil && used > quota:
			s.r.say(d, fmt.Sprintf("Process running mem=%dM(%.1f%%)", used>>20, 100*float64(used)/float64(quota)))
			s.r.say(d, "Error R14 (Memory quota exceeded)")
		}
	}
}
