package seed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

const (
	troublesShown = 10
	clockSlack    = time.Minute
)

// notes are what a person should know although all may run.
func (s *Seed) notes(ctx context.Context, st Status) (notes []string) {
	if st.System != nil {
		for _, c := range st.System.Rescued {
			notes = append(notes, fmt.Sprintf("The seed does the work of %s until `hoist seed rescue %s --back`.", c, c))
		}
		if st.System.Override != "" {
			notes = append(notes, st.System.Override+".")
		}
	}
	if behind := s.clockBehind(time.Now()); behind > clockSlack {
		notes = append(notes, fmt.Sprintf("The clock is %s behind what it was: files here are from the future. Certificates and sessions may be refused.",
			behind.Round(time.Second)))
	}
	if troubles, err := s.db.Troubles(ctx, troublesShown); err == nil {
		for _, text := range troubles {
			notes = append(notes, clean(text))
		}
	}
	return notes
}

// clockBehind is how far the clock is behind the latest time at which we wrote.
func (s *Seed) clockBehind(now time.Time) (behind time.Duration) {
	for _, name := range []string{"settings.json", "system.json", "seed.log", "cert.pem"} {
		if st, err := os.Stat(s.cfg.file(name)); err == nil {
			behind = max(behind, st.ModTime().Sub(now))
		}
	}
	return behind
}

// processOf adds the process of a part of the ground.
func (s *Seed) processOf(t TaskStatus) TaskStatus {
	switch {
	case t.State != stateUp:
	case t.Name == "postgres":
		text, _ := os.ReadFile(filepath.Join(s.cfg.file("postgres"), "data", "postmaster.pid"))
		first, _, _ := strings.Cut(string(text), "\n")
		t.PID, _ = strconv.Atoi(first)
	default:
		t.PID = os.Getpid()
	}
	return t
}

// ownReports are those of components inside this process.
func (s *Seed) ownReports(component string) (list []hoist.Report) {
	for _, r := range s.cfg.reports(component, time.Now()) {
		if r.PID == os.Getpid() {
			list = append(list, r)
		}
	}
	return list
}
