package router

import "sync/atomic"

// room is where requests wait for a backend; whom it does not hold gets H11. Each app has one of its own within
// that of all apps, so that one cannot take the others' places. A part of the platform has one apart from them: whatever
// the apps do, it can be reached.
type room struct {
	holds   int64
	within  *room
	waiting atomic.Int64
}

const (
	roomForOne = 1000 // app or part of the platform
	roomForAll = 10_000
)

// enter reports whether there was a place; leave gives it back.
func (r *room) enter() bool {
	if r == nil {
		return true
	}
	if r.waiting.Add(1) <= r.holds && r.within.enter() {
		return true
	}
	r.waiting.Add(-1)
	return false
}

func (r *room) leave() {
	for ; r != nil; r = r.within {
		r.waiting.Add(-1)
	}
}
