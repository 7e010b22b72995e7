package seed

import (
	"context"
	"os"
	"time"
)

const (
	// clockMark is an empty file whose time is the latest at which a seed ran here.
	clockMark = "clock"
	// clockSlack is by how much a clock may be set back without anybody being told.
	clockSlack = time.Minute
	clockEvery = 10 * time.Second
)

// watchClock keeps the mark, until ctx ends.
func (s *Seed) watchClock(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		if err := s.cfg.markClock(time.Now()); err != nil {
			s.log.Warn("clock", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// markClock notes a time, unless a later one is noted.
func (s *Settings) markClock(now time.Time) error {
	path := s.file(clockMark)
	st, err := os.Stat(path)
	if err != nil {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return err
		}
	} else if st.ModTime().After(now) {
		return nil
	}
	return os.Chtimes(path, now, now)
}

// clockBehind is how far the clock is behind the latest time at which a seed ran here.
func (s *Settings) clockBehind(now time.Time) time.Duration {
	st, err := os.Stat(s.file(clockMark))
	if err != nil {
		return 0
	}
	return max(0, st.ModTime().Sub(now))
}
