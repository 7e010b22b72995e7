package runtime

import (
	"time"

	"github.com/hoist-sh/hoist"
)

// steady is since when this worker has looked at the others without a break. Who was away itself
// cannot say that others are lost; nor can anybody after the machine was paused or its clock set
// forward: all rows are old then, until everybody has renewed its own.
type steady struct {
	since time.Time
	seen  time.Time // the wall clock at the last step
}

// step notes that this worker is at work: it was away if that was too long ago. A pass over
// many apps may well take longer, but no step of one.
func (s *steady) step(now time.Time, after time.Duration) {
	wall := now.Round(0) // the other clock stands still while a machine sleeps
	if wall.Sub(s.seen) > hoist.ResyncInterval+after/4 {
		s.since = now
	}
	s.seen = wall
}

// look returns after how long a silent worker is lost; 0 for those that are known to be and no others.
func (s *steady) look(now time.Time, after time.Duration) time.Duration {
	s.step(now, after)
	if now.Sub(s.since) <= after {
		return 0
	}
	return after
}

// broke notes that the database was away.
func (s *steady) broke(now time.Time) { s.since = now }
