package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// upgradePhase is a part of an upgrade, and what is heard when it begins: in what the push says, or in
// what the seed logs of release %d.
type upgradePhase struct{ name, said, logged string }

// phases are all of them, in their order.
var phases = []upgradePhase{
	{"the upload", "", ""},
	{"the build", "app detected", ""},
	{"the release", "Launching...", ""},
	{"the proofs", "", ` msg=started .* release=%d `},
	{"the handing over", "", ` msg=proven .* release=%d `},
	{"the replacement of the seed", "", ` msg="the seed is replaced" .* release=%d `},
}

// cutPhases are those in which the power is cut for sure; random cuts come to the others.
var cutPhases = []string{"the release", "the proofs", "the replacement of the seed"}

// upgrade is a push of the platform under way.
type upgrade struct {
	w       *selfWorld
	release int   // that it will make
	from    int64 // where the seed's log was when it began
	done    chan struct{}
	err     error // when done

	mu   sync.Mutex
	said string
}

// startUpgrade pushes a program of the platform.
func (c *cuts) startUpgrade(program string) {
	c.t.Helper()
	u := &upgrade{w: c.selfWorld, done: make(chan struct{})}
	var err error
	if u.release, err = c.nextVersion(); err != nil {
		c.t.Fatal(err)
	}
	if st, err := os.Stat(u.log()); err == nil {
		u.from = st.Size()
	}
	c.under = u
	go func() {
		defer close(u.done)
		out, err := c.pushProgram(program, u.heard)
		if err != nil {
			u.err = fmt.Errorf("%w\n%s", err, out)
		}
	}()
}

// anotherProgram is one that neither the seed nor the release that runs has.
func (c *cuts) anotherProgram() string {
	c.t.Helper()
	st, err := c.status()
	if err != nil {
		c.t.Fatal(err)
	}
	var newest []struct{ Version string }
	err = c.query(&newest, `SELECT version FROM components WHERE type = 'api' ORDER BY started_at DESC LIMIT 1`)
	if err != nil || len(newest) != 1 {
		c.t.Fatal(newest, err)
	}
	for _, n := range c.r.Perm(3) {
		program := goodProgram(c.t, n)
		sum, err := fileSHA256(program)
		if err != nil {
			c.t.Fatal(err)
		}
		if !strings.HasPrefix(sum, st.Version) && !strings.HasPrefix(sum, newest[0].Version) {
			return program
		}
	}
	panic("of three programs two are others")
}

func (u *upgrade) log() string { return filepath.Join(u.w.Dir, "seed.log") }

func (u *upgrade) heard(said string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.said = said
}

func (u *upgrade) wait() { <-u.done }

func (u *upgrade) ended() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// phase is the last one that has begun.
func (u *upgrade) phase() string {
	for _, p := range slices.Backward(phases[1:]) {
		if u.reached(p.name) {
			return p.name
		}
	}
	return phases[0].name
}

func (u *upgrade) reached(phase string) bool {
	p := phases[slices.IndexFunc(phases, func(p upgradePhase) bool { return p.name == phase })]
	if p.said != "" {
		u.mu.Lock()
		defer u.mu.Unlock()
		return strings.Contains(u.said, p.said)
	}
	f, err := os.Open(u.log())
	if err != nil {
		return false
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() >= u.from { // else it is another file
		f.Seek(u.from, io.SeekStart)
	}
	text, _ := io.ReadAll(f)
	return regexp.MustCompile(fmt.Sprintf(p.logged, u.release)).Match(text)
}

// reaches waits until a phase has begun.
func (u *upgrade) reaches(phase string) error {
	for limit := time.Now().Add(5 * time.Minute); !u.reached(phase); time.Sleep(100 * time.Millisecond) {
		switch {
		case u.ended() && u.err != nil:
			return u.err
		case time.Now().After(limit):
			return fmt.Errorf("it is still in %s", u.phase())
		}
	}
	return nil
}
