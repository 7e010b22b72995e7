package runtime

import (
	"testing"
	"time"
)

func TestNobodyIsLostJustAfterTheClockWasSetForward(t *testing.T) {
	const after = 10 * time.Second
	var s steady
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	looks := func(what string, seconds int, want time.Duration) {
		t.Helper()
		for range seconds / 3 {
			now = now.Add(3 * time.Second)
			if got := s.look(now, after); got != want {
				t.Fatalf("%s, at %s: %s, want %s", what, now.Format(time.TimeOnly), got, want)
			}
		}
	}
	looks("at first", 12, 0)
	looks("then", 60, after)
	now = now.Add(7 * time.Second) // with those of the next look
	looks("after a pause", 12, 0)
	looks("when all had time to renew", 60, after)
	s.broke(now)
	looks("after the database was away", 9, 0)
	looks("when it has been back for a while", 6, after)
	for range 3 { // passes that take longer than the time between two
		for range 8 {
			now = now.Add(time.Second)
			s.step(now, after)
		}
		looks("when there is much to do", 3, after)
	}
	now = now.Add(9 * time.Second)
	s.step(now, after)
	looks("after a pause in the midst of a pass", 9, 0)
}
