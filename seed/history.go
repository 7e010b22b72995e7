package seed

import (
	"maps"
	"slices"
	"time"

	"github.com/hoist-sh/hoist"
)

// historyLength is how many releases that proved themselves are kept with their slugs.
const historyLength = 10

// provenRelease is a release that proved itself in all its types.
type provenRelease struct {
	desired
	At time.Time `json:"at"`
}

// remember keeps a release that has proved itself, so that one can go back to it without
// database and blob store. If its code was known to be good, it is so since then.
func (s *systemState) remember(d *desired, now time.Time) {
	if i := slices.IndexFunc(s.History, func(r provenRelease) bool { return r.code() == d.code() }); i >= 0 {
		now = s.History[i].At
	}
	s.History = slices.DeleteFunc(s.History, func(r provenRelease) bool { return r.ReleaseID == d.ReleaseID })
	s.History = append(s.History, provenRelease{*d, now})
	s.History = s.History[max(0, len(s.History)-historyLength):]
}

// kept are the releases whose slugs must stay.
func (s *systemState) kept() (list []*desired) {
	list = append(list, s.Good, s.Next)
	if s.Override != nil {
		list = append(list, &s.Override.To)
	}
	for i := range s.History {
		list = append(list, &s.History[i].desired)
	}
	return slices.DeleteFunc(list, func(d *desired) bool { return d == nil })
}

// forget leaves nothing of releases that are not kept.
func (s *systemState) forget() {
	known := map[hoist.ID]bool{}
	for _, d := range s.kept() {
		known[d.ReleaseID] = true
	}
	maps.DeleteFunc(s.Failed, func(id hoist.ID, _ string) bool { return !known[id] })
	maps.DeleteFunc(s.Same, func(id hoist.ID, _ rolledBack) bool { return !known[id] })
}

// SystemRelease is a release of the platform's own app that the seed knows by itself.
type SystemRelease struct {
	Version int       `json:"version"`
	Commit  string    `json:"commit"`
	Slug    string    `json:"slug"`
	Here    bool      `json:"here"`             // its slug is a local file
	Proven  time.Time `json:"proven,omitzero"`  // since when it is known to be good
	Current bool      `json:"current"`          // the app's current release, as last seen in the database
	Wanted  bool      `json:"wanted"`           // it shall run
	Runs    []string  `json:"runs"`             // its dynos
	Failed  string    `json:"failed,omitempty"` // why it was given up
	ID      hoist.ID  `json:"id"`
}

// releases lists them, the newest first.
func (y *system) releases() []SystemRelease {
	y.mu.Lock()
	defer y.mu.Unlock()
	list := []SystemRelease{}
	add := func(d *desired, proven time.Time) {
		if slices.ContainsFunc(list, func(r SystemRelease) bool { return r.ID == d.ReleaseID }) {
			return
		}
		r := SystemRelease{Version: d.Version, Commit: d.Commit, Slug: d.Slug, Here: y.here(d.Slug), Proven: proven, Runs: []string{},
			Failed: y.state.Failed[d.ReleaseID], ID: d.ReleaseID}
		r.Current = y.state.Next != nil && y.state.Next.ReleaseID == d.ReleaseID
		if want := y.state.wanted(); want != nil {
			r.Wanted = want.ReleaseID == d.ReleaseID
		}
		for _, dyno := range y.dynos {
			if dyno.ReleaseID == d.ReleaseID || dyno.ReleaseID == d.code().ReleaseID {
				r.Runs = append(r.Runs, dyno.Name())
			}
		}
		slices.Sort(r.Runs)
		list = append(list, r)
	}
	for _, r := range y.state.History {
		add(&r.desired, r.At)
	}
	for _, d := range y.state.kept() {
		add(d, time.Time{})
	}
	slices.SortStableFunc(list, func(a, b SystemRelease) int { return b.Version - a.Version })
	return list
}
