package seed

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// crashes are those of one of the seed's programs. It may become ready, and be good therefore, and still not last: it
// panics whenever it has run for some seconds. After maxCrashes in a row it is begun no more. They are counted beside the
// program when it starts again. A row ends when it has run for youth, or ends because somebody wants it to; what is killed,
// also by a power cut, has not crashed.
type crashes struct {
	N       int       `json:"n"` // in a row
	Started time.Time `json:"started"`
	Last    string    `json:"last"` // what it said
}

// crashesFile and crashFile are what is known of a program's crashes, and what it says when it crashes.
// A program is known by its sum or its version.
func (s *Settings) crashesFile(sum string) string { return s.seedProgram(sum) + ".crashes" }
func (s *Settings) crashFile(sum string) string   { return s.seedProgram(sum) + ".crash" }

// crashes counts them, also the last one.
func (s *Settings) crashes(sum string) (c crashes) {
	if text, err := os.ReadFile(s.crashesFile(sum)); err != nil || json.Unmarshal(text, &c) != nil {
		c = crashes{}
	}
	said, _ := os.ReadFile(s.crashFile(sum))
	if len(said) == 0 {
		return c
	}
	if st, err := os.Stat(s.crashFile(sum)); err != nil || st.ModTime().Sub(c.Started).Abs() > youth {
		c.N = 0 // what it crashed by is older than this row
	}
	c.N++
	c.Last, _, _ = strings.Cut(string(said), "\n")
	return c
}

// crashing reports whether a program that does not run crashed again and again.
func (s *Settings) crashing(c *successor) bool { return s.crashes(c.Sum).N >= maxCrashes }

// countCrashes counts those of this program, if it came out of a release, and has the next one noted. Who holds the
// lock is it.
func (s *Settings) countCrashes(version string) error {
	if _, err := os.Stat(s.seedProgram(version)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	c := s.crashes(version)
	c.Started = time.Now()
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := writeFile(s.crashesFile(version), append(text, '\n'), 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(s.crashFile(version), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() // it is duplicated
	return debug.SetCrashOutput(f, debug.CrashOptions{})
}

// forgetCrashes ends a row.
func (s *Settings) forgetCrashes(sum string) {
	os.Remove(s.crashesFile(sum))
	os.Truncate(s.crashFile(sum), 0)
}

// steady ends this program's row when it has run for a while, or shall end.
func (s *Seed) steady() {
	select {
	case <-s.ctx.Done():
	case <-time.After(youth):
	}
	os.Remove(s.cfg.crashesFile(s.cfg.Version)) // a crash just now begins another
}

// refuses reports whether a program is not begun as it does not last, and says so.
func (y *system) refuses(c *successor) bool {
	if c == nil || c.is(y.seed.cfg.Version) {
		return false
	}
	was := y.seed.cfg.crashes(c.Sum)
	if was.N < maxCrashes {
		return false
	}
	y.cannotBe("be replaced by the seed of v%d: it crashed %d times in a row, each time within %.0f minutes (at last: %s); that of the next release is tried again",
		c.Release, was.N, youth.Minutes(), was.Last)
	return true
}
