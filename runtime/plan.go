package runtime

import (
	"slices"
	"time"

	"github.com/hoist-sh/hoist"
)

// makeRoomAfter is how long a new dyno waits for memory before one that it
// replaces gives way to it.
const makeRoomAfter = 15 * time.Second

// reasonRoom is why a dyno stopped before its replacement was up.
const reasonRoom = "no worker had memory for its replacement beside it"

// plan is the process model: it compares an app's formation with its live
// dynos (of the formation, not down) and returns the rows to write, marks
// before new ones.
//
// A dyno is current if its release, size and command are what the formation
// says now. One that is not, or that shall be restarted, is outdated: it keeps
// running, and is even started again when it crashes, until the current ones
// are up. So a release that never comes up leaves the old one serving.
func plan(app hoist.App, formation []hoist.ProcessType, dynos []hoist.Dyno, workers []hoist.Worker, now time.Time) []hoist.Dyno {
	p := planner{app: app, workers: workers, now: now}
	byType := map[string][]hoist.Dyno{}
	for _, d := range dynos {
		byType[d.Type] = append(byType[d.Type], d)
	}
	for _, t := range formation {
		if app.CurrentReleaseID == "" {
			t.Quantity = 0
		}
		p.processType(t, byType[t.Type])
		delete(byType, t.Type)
	}
	for _, gone := range byType {
		p.processType(hoist.ProcessType{}, gone)
	}
	return append(p.marked, p.added...)
}

type planner struct {
	app     hoist.App
	workers []hoist.Worker
	now     time.Time
	marked  []hoist.Dyno
	added   []hoist.Dyno
}

func (p *planner) mark(d hoist.Dyno, want hoist.DynoWant, reason string) {
	if d.Want != want {
		d.Want, d.Reason = want, reason
		p.marked = append(p.marked, d)
	}
}

func (p *planner) processType(t hoist.ProcessType, dynos []hoist.Dyno) {
	var outdated []hoist.Dyno
	current, stopping := map[int]*hoist.Dyno{}, map[int]bool{}
	for _, d := range dynos {
		same := d.ReleaseID == p.app.CurrentReleaseID && d.Size == t.Size && d.Command == t.Command
		switch {
		case d.Number > t.Quantity:
			p.mark(d, hoist.WantDown, "")
		case d.Want == hoist.WantDown:
			// One that is moved may wait for its clients, and held up nobody when it was replaced.
			stopping[d.Number] = stopping[d.Number] || same && !(serves(d) && p.leaving(d))
		case d.Want == hoist.WantUp && same:
			current[d.Number] = &d
		default:
			outdated = append(outdated, d)
		}
	}
	allUp := true
	for n := 1; n <= t.Quantity; n++ {
		if d := current[n]; d != nil {
			allUp = allUp && d.State == hoist.DynoUp
			continue
		}
		allUp = false
		if !stopping[n] { // a stopped dyno ends before it is started again
			p.added = append(p.added, hoist.Dyno{
				ID: hoist.NewID(), AppID: p.app.ID, ReleaseID: p.app.CurrentReleaseID,
				Kind: hoist.KindFormation, Type: t.Type, Number: n, Size: t.Size, Command: t.Command,
				Want: hoist.WantUp, State: hoist.DynoStarting,
			})
		}
	}
	for n, group := range groupByNumber(outdated) {
		p.retire(current[n], group, allUp)
	}
}

// retire decides on the outdated dynos of one number, given the current one
// (nil if it was not there until now).
func (p *planner) retire(current *hoist.Dyno, outdated []hoist.Dyno, allUp bool) {
	kept := keeper(outdated)
	for i, d := range outdated {
		replaced := current != nil && current.State == hoist.DynoUp
		switch {
		case i != kept, allUp, replaced && d.ReleaseID == current.ReleaseID:
			p.mark(d, hoist.WantDown, "")
		case current != nil && p.needsRoom(*current) && !p.leaving(d):
			p.mark(d, hoist.WantDown, reasonRoom)
		default:
			p.mark(d, hoist.WantRestart, "")
		}
	}
}

// keeper returns which of the outdated dynos of one number goes on serving:
// the newest that is up, else the newest that ever was; -1 if none was.
func keeper(dynos []hoist.Dyno) int {
	best := -1
	for i, d := range dynos {
		if d.UpAt == nil {
			continue
		}
		if best < 0 || d.State == hoist.DynoUp || dynos[best].State != hoist.DynoUp {
			best = i // they come oldest first
		}
	}
	return best
}

// needsRoom reports whether no worker takes the dyno.
func (p *planner) needsRoom(d hoist.Dyno) bool {
	return d.WorkerID == "" && p.now.Sub(d.StateAt) > makeRoomAfter
}

// leaving reports whether the dyno is on a worker that takes no new dynos.
func (p *planner) leaving(d hoist.Dyno) bool {
	return slices.ContainsFunc(p.workers, func(w hoist.Worker) bool { return w.ID == d.WorkerID && w.Draining })
}

func groupByNumber(dynos []hoist.Dyno) map[int][]hoist.Dyno {
	groups := map[int][]hoist.Dyno{}
	for _, d := range dynos {
		groups[d.Number] = append(groups[d.Number], d)
	}
	return groups
}
