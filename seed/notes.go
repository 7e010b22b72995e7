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

const troublesShown = 10

// notes are what a person should know although all may run.
func (s *Seed) notes(ctx context.Context, st Status) (notes []string) {
	if st.System != nil {
		for _, c := range st.System.Rescued {
			notes = append(notes, fmt.Sprintf("The seed does the work of %s until `hoist seed rescue %s --back`.", c, c))
		}
		if st.System.Override != "" {
			notes = append(notes, st.System.Override+".")
		}
		for _, of := range []string{"seed", "slug"} {
			if why := st.System.Cannot[of]; why != "" {
				notes = append(notes, fmt.Sprintf("The %s %s.", of, why))
			}
		}
	}
	if behind := s.cfg.clockBehind(time.Now()); behind > clockSlack {
		notes = append(notes, fmt.Sprintf("The clock is %s behind what it was. Certificates and sessions may be refused. Set it or, if it is right and was ahead before, remove %s.",
			behind.Round(time.Second), s.cfg.file(clockMark)))
	}
	if troubles, err := s.db.Troubles(ctx, troublesShown); err == nil {
		for _, text := range troubles {
			notes = append(notes, clean(text))
		}
	}
	return notes
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
