package seed

import (
	"fmt"
	"slices"
	"time"

	"github.com/hoist-sh/hoist"
)

const (
	// youth is for how long a release that was called good gives way to the one before if its dynos crash
	// again and again: no proof sees what comes only with time.
	youth = 5 * time.Minute
	// steady is how long a dyno must have run for its end to be the first of a row.
	steady = time.Minute
)

// row is of crashes of the dynos of one name. It is forgotten when the seed starts or the ground
// is away: then it may not be the release's fault.
type row struct {
	n     int
	since time.Time   // the start of the first
	last  *systemDyno // that crashed
	code  int         // its exit code
}

// crashed notes the end of a dyno that nobody asked to end. SIGKILL comes from others, unless the dyno's own
// memory was used up.
func (y *system) crashed(d *systemDyno, exit hoist.Exit) {
	if !y.state.Next.has(d) || exit.Code < 0 || exit.Code == 128+9 && !exit.OOM {
		return
	}
	r := y.rows[d.Name()]
	if r == nil || time.Since(d.since) > steady {
		r = &row{since: d.since}
		y.rows[d.Name()] = r
	}
	r.n, r.last, r.code = r.n+1, d, exit.Code
}

// lasts gives the current release up if one of its dynos does not last, be the release on trial or good since a
// short time.
func (y *system) lasts(ground bool) {
	if !ground {
		clear(y.rows)
	}
	for _, r := range y.rows {
		if r.n < maxCrashes {
			continue
		}
		why := fmt.Sprintf("it crashed %d times in %s, at last with status %d", r.n, time.Since(r.since).Round(time.Second), r.code)
		if next := y.state.Next; y.state.young(next, time.Now()) {
			y.state.disown(next)
			y.giveUp(r.last.Name(), "did not last", r.last.withLastWords(why))
			return
		}
		y.failDyno(r.last, why)
	}
}

// young reports whether a release is good since a short time only, and another one was before.
func (s *systemState) young(d *desired, now time.Time) bool {
	same := func(r provenRelease) bool { return r.code() == d.code() }
	i := slices.IndexFunc(s.History, same)
	return i >= 0 && now.Sub(s.History[i].At).Abs() < youth &&
		slices.ContainsFunc(s.History, func(r provenRelease) bool { return !same(r) })
}

// disown takes back that a young release is good: the last good one is the one before.
func (s *systemState) disown(d *desired) {
	s.History = slices.DeleteFunc(s.History, func(r provenRelease) bool { return r.code() == d.code() })
	before := s.History[len(s.History)-1].desired
	s.Good = &before
}
