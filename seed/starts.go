package seed

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"
)

// starts are those of one of the seed's programs that came to no good end. A program may become ready, and
// be good therefore, and still not last: it crashes whenever it has run for some seconds. After maxCrashes of such ends it is
// begun no more. That is noted beside the program, at each start, and taken back when it has run for youth, or ends because
// somebody wants it to, or because it cannot start, which it says. What has been killed by others looks like
// a crash; a power cut does not, as another boot of the machine begins a new row.
type starts struct {
	N    int    `json:"n"` // in a row
	Boot string `json:"boot"`
}

const startsSuffix = ".starts"

func (s *Settings) startsFile(sum string) string { return s.seedProgram(sum) + startsSuffix }

// starts reads them; a program is known by its sum or its version.
func (s *Settings) starts(sum string) (was starts) {
	if text, err := os.ReadFile(s.startsFile(sum)); err != nil || json.Unmarshal(text, &was) != nil {
		return starts{}
	}
	return was
}

// crashing reports whether a program that does not run ended by itself again and again.
func (s *Settings) crashing(c *successor) bool { return s.starts(c.Sum).N >= maxCrashes }

// noteStart notes that a program starts, if it came out of a release: who holds the lock is it.
func (s *Settings) noteStart(version string) error {
	if _, err := os.Stat(s.seedProgram(version)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	was, now := s.starts(version), strings.TrimSpace(string(boot))
	if was.Boot != now && was.N < maxCrashes {
		was.N = 0
	}
	text, err := json.Marshal(starts{was.N + 1, now})
	if err != nil {
		return err
	}
	return writeFile(s.startsFile(version), append(text, '\n'), 0o600)
}

// forgetStarts takes the notes on a program back.
func (s *Settings) forgetStarts(sum string) { os.Remove(s.startsFile(sum)) }

// steady takes the notes on this program back when it has run for a while, or shall end.
func (s *Seed) steady() {
	select {
	case <-s.ctx.Done():
	case <-time.After(youth):
	}
	s.cfg.forgetStarts(s.cfg.Version)
}
