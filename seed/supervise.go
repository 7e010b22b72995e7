package seed

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// How long a task that ended waits before it is started again: doubled each
// time, and forgotten when it ran well for a while.
const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 10 * time.Second
	goodRun      = 30 * time.Second
)

// task is a part of the seed that is kept running: the ground and the
// components.
type task struct {
	name string
	run  func(ctx context.Context, ready func()) error

	mu       sync.Mutex
	keeps    int // counts keep's calls: what an earlier one still says is not the state
	state    string
	since    time.Time // since when state holds
	restarts int
	lastErr  string
}

// States of a task.
const (
	stateStarting = "starting"
	stateUp       = "up"
	stateDown     = "down" // until it is started again
	stateWaiting  = "waiting"
	stateStopped  = "stopped" // the seed is ending, or dynos do its work
)

// keep runs the task until ctx ends.
func (t *task) keep(ctx context.Context, log *slog.Logger) {
	t.mu.Lock()
	t.keeps++
	nth := t.keeps
	t.mu.Unlock()
	defer t.set(nth, stateStopped, nil)
	backoff := firstBackoff
	for {
		started := time.Now()
		t.set(nth, stateStarting, nil)
		err := t.once(ctx, nth)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = fmt.Errorf("it ended")
		}
		if time.Since(started) > goodRun {
			backoff = firstBackoff
		}
		log.Error("starting again", "task", t.name, "after", backoff, "err", err)
		t.set(nth, stateDown, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// once runs the task; a panic is an error like others.
func (t *task) once(ctx context.Context, nth int) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return t.run(ctx, func() { t.set(nth, stateUp, nil) })
}

// set notes a change in the nth keep, and the error that was its cause.
func (t *task) set(nth int, state string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if nth != t.keeps {
		return
	}
	t.state, t.since = state, time.Now()
	if err != nil {
		t.restarts++
		t.lastErr = err.Error()
	}
}

func (t *task) status() TaskStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	return TaskStatus{Name: t.name, State: t.state, Since: t.since, Restarts: t.restarts, Error: t.lastErr}
}
