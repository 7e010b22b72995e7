package runtime

import (
	"cmp"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// courtesy is how long a worker leaves a dyno to another that suits better.
const courtesy = time.Second

// place chooses which of the waiting dynos worker me takes. All workers
// compute the same from the same rows: the best worker for a dyno has memory
// for it, the fewest dynos of its app, release and type, then the most free
// memory. What the best one has not taken after a moment goes to any that has
// room; that also mends a stale view.
func place(me hoist.ID, workers []hoist.Worker, placed, waiting []hoist.Dyno, now time.Time) (take []hoist.ID) {
	type group struct{ worker, app, release, kind, typ string }
	of := func(w hoist.ID, d hoist.Dyno) group {
		return group{w, d.AppID, d.ReleaseID, string(d.Kind), d.Type}
	}
	m, siblings := newBudget(workers), map[group]int{}
	put := func(w hoist.ID, d hoist.Dyno) {
		m.put(w, d)
		siblings[of(w, d)]++
	}
	for _, d := range placed {
		put(d.WorkerID, d)
	}
	for _, d := range waiting {
		best, room := "", false
		better := func(a, b hoist.ID) bool {
			x, y := m.free(a), m.free(b)
			return cmp.Or(cmp.Compare(siblings[of(a, d)], siblings[of(b, d)]), cmp.Compare(y.host, x.host), cmp.Compare(y.worker, x.worker)) < 0
		}
		for _, w := range workers {
			if !m.takes(w.ID, d) {
				continue
			}
			room = room || w.ID == me
			if best == "" || better(w.ID, best) {
				best = w.ID
			}
		}
		since := d.StateAt
		if d.RestartAt != nil && d.RestartAt.After(since) {
			since = *d.RestartAt
		}
		if room && now.Sub(since) > courtesy {
			best = me
		}
		if best == me {
			take = append(take, d.ID)
		}
		put(best, d)
	}
	return take
}

// sizeOf returns a dyno's size, the default for an unknown name.
func sizeOf(d hoist.Dyno) hoist.Size {
	var usual hoist.Size
	for _, s := range hoist.Sizes {
		if strings.EqualFold(s.Name, d.Size) {
			return s
		}
		if s.Name == hoist.DefaultSize {
			usual = s
		}
	}
	return usual
}
