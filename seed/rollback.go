package seed

import (
	"context"
	"fmt"
	"time"

	"github.com/hoist-sh/hoist"
)

// override has a release run that the database does not name: a person went back
// to it out of band. It holds until the database has the same.
type override struct {
	To      desired   `json:"to"`
	Was     hoist.ID  `json:"was"` // the app's current release when it was asked for
	Asked   time.Time `json:"asked"`
	Problem string    `json:"problem,omitempty"` // why the database cannot be made to agree
}

// rollback has an earlier release run from its local slug, now; 0 is the one before
// the one that shall run. It needs neither database nor blob store.
func (y *system) rollback(version int) (to int, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	want := y.state.wanted()
	if want == nil || y.state.Next == nil {
		return 0, errNoApp
	}
	i := -1
	for j, r := range y.state.History {
		switch {
		case version != 0 && r.Version == version:
			i = j
		case version == 0 && r.ReleaseID != want.ReleaseID && (i < 0 || r.Version > y.state.History[i].Version) && r.Version < want.Version:
			i = j
		}
	}
	switch {
	case i < 0 && version == 0:
		return 0, hoist.Invalid("There is no release before v%d that is known to be good. `hoist seed releases` lists them.", want.Version)
	case i < 0:
		return 0, hoist.Invalid("The seed knows no v%d that is good. `hoist seed releases` lists what it can run by itself.", version)
	}
	r := y.state.History[i]
	if r.ReleaseID == want.ReleaseID {
		return 0, hoist.Invalid("v%d is what shall run already.", r.Version)
	}
	if err := y.whole(r.Slug); err != nil {
		return 0, hoist.Invalid("v%d cannot be run: %v", r.Version, err)
	}
	y.log.Warn("rollback out of band", "from", want.Version, "to", r.Version)
	y.state.Override = &override{To: r.desired, Was: y.state.Next.ReleaseID, Asked: time.Now()}
	if r.ReleaseID == y.state.Next.ReleaseID { // back from a rollback
		y.state.Override = nil
		delete(y.state.Failed, r.ReleaseID)
	}
	y.beginAnew()
	y.write()
	y.wake()
	return r.Version, nil
}

// agree makes the database say what a rollback out of band did: a new release
// with the slug and config of the one that was gone back to, as the API's rollback makes.
// It reports whether the current release must be read again. Who made a release meanwhile
// wins: the rollback is forgotten. So the seed never undoes what a person did
// after it, and a crash between commit and write makes no second release.
func (y *system) agree(ctx context.Context, current hoist.ID) (again bool) {
	o := y.state.Override
	if o == nil {
		return false
	}
	if current != o.Was || current == o.To.ReleaseID {
		y.log.Warn("a release was made after the rollback out of band, and counts", "rollback", o.To.Version)
		y.state.Override = nil
		return false
	}
	why := fmt.Sprintf("Rolled back to v%d on the machine, out of band.", o.To.Version)
	id, err := y.seed.api.RollbackSystem(ctx, o.Was, o.To.ReleaseID, why)
	if err != nil {
		if text := err.Error(); text != o.Problem {
			o.Problem = text
			y.log.Error("the database cannot be told of the rollback", "to", o.To.Version, "err", err)
		}
		return false
	}
	if id != "" { // else somebody was faster
		y.log.Info("the database knows of the rollback", "to", o.To.Version)
		as := o.To.code()
		y.state.Same[id] = rolledBack{as, why}
		next := *y.state.wanted()
		next.ReleaseID, next.As = id, &as
		y.state.Next = &next // until it has been read
		y.seed.bus.Ring(hoist.BellFormation+o.To.AppID, nil)
	}
	y.state.Override = nil
	y.write() // of whose code the release is, no other seed could tell
	return true
}

// withQuantities is a release with the number of dynos that another asks for.
func (d *desired) withQuantities(of *desired) *desired {
	back := *d
	back.Formation = map[string]process{}
	for name, p := range d.Formation {
		if of != nil {
			if now, ok := of.Formation[name]; ok {
				p.Quantity = now.Quantity
			}
		}
		back.Formation[name] = p
	}
	return &back
}

// proveAlone lets dynos take over while a part of the ground is away, where nothing
// can be proved. Those of the last good release only have to be there, those of a rollback must
// have been running for a while; a runtime dyno of one waits, as the dynos of the one before could not be moved.
func (y *system) proveAlone() {
	for _, d := range y.dynos {
		back := y.state.Override != nil && y.state.Override.To.has(d) && d.Type != hoist.ComponentRuntime
		if d.stopping() || y.state.Proven[d.ID] || !back && (y.state.Override != nil || !y.state.Good.has(d)) {
			continue
		}
		r, ok := y.report(d)
		if ok && (!back || time.Since(r.Since) > aloneAfter) {
			y.state.Proven[d.ID] = true
			d.State, d.lacks, d.passed = hoist.DynoUp, "", time.Now()
			y.log.Warn("takes over without a proof, as the ground is away", "dyno", d.Name(), "release", d.Version)
		}
	}
}

// aloneAfter is how long a dyno must have been running to take over without a proof.
const aloneAfter = 5 * time.Second

func (o *override) text() string {
	text := fmt.Sprintf("v%d runs since a rollback out of band; the database will be told when it is back", o.To.Version)
	if o.Problem != "" {
		text = fmt.Sprintf("v%d runs since a rollback out of band; the database cannot be told: %s", o.To.Version, o.Problem)
	}
	return text
}
