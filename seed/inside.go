package seed

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
)

// inside is a component that runs inside the seed while no dyno does its work.
type inside struct {
	task *task

	mu      sync.Mutex
	wanted  bool
	leaving bool      // it is on for what it has only: dynos do what comes
	since   time.Time // since when it is wanted, or not
	running int       // that have not ended yet, wanted or not
	change  chan struct{}
}

func newInside(t *task) *inside {
	t.set(0, stateStopped, nil)
	return &inside{task: t, change: make(chan struct{}, 1)}
}

// turn switches it on or off; off ends it as a stop of the seed does.
func (c *inside) turn(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wanted == on && !c.since.IsZero() {
		return
	}
	c.wanted, c.leaving, c.since = on, false, time.Now()
	select {
	case c.change <- struct{}{}:
	default:
	}
}

func (c *inside) on() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wanted
}

// leave says whether it is on for what it has only.
func (c *inside) leave(leaving bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = leaving
}

func (c *inside) isLeaving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving
}

// idle reports whether it is off, and what was under way in it has ended.
func (c *inside) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.wanted && c.running == 0
}

func (c *inside) begun(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running += n
}

// onFor is how long it has been on.
func (c *inside) onFor() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.wanted {
		return 0
	}
	return time.Since(c.since)
}

// keep runs the component while it is on, until ctx ends.
func (c *inside) keep(ctx context.Context, log *slog.Logger) {
	for ctx.Err() == nil {
		if c.on() {
			run, stop := context.WithCancel(ctx)
			done := make(chan struct{})
			c.begun(1)
			go func() {
				defer close(done)
				defer c.begun(-1)
				c.task.keep(run, log)
			}()
			for c.on() && ctx.Err() == nil {
				select {
				case <-ctx.Done():
				case <-c.change:
				}
			}
			stop()
			// What is under way goes on. Should it be on again before that has
			// ended, another one starts beside, but there can be only one runtime.
			for c.task.name == hoist.ComponentRuntime || ctx.Err() != nil || !c.on() {
				select {
				case <-done:
				case <-c.change:
					continue
				}
				break
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-c.change:
		}
	}
}
