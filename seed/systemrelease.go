package seed

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// refresh reads what shall run; while the database is away that stays.
func (y *system) refresh(ctx context.Context) (there bool) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := y.seed.db.SystemRelease(ctx)
	if errors.Is(err, hoist.ErrNotFound) {
		return true
	}
	if err != nil {
		return false
	}
	if y.agree(ctx, r.ReleaseID) {
		return y.refresh(ctx)
	}
	d := &desired{AppID: r.AppID, ReleaseID: r.ReleaseID, Version: r.Version, Commit: r.Slug.Commit, Slug: r.Slug.SHA256,
		Config: r.Config, Formation: map[string]process{}}
	for _, p := range r.Formation {
		if slices.Contains(hoist.Components, p.Type) {
			d.Formation[p.Type] = process{p.Command, p.Quantity, p.Size}
		}
	}
	if r, ok := y.state.Same[d.ReleaseID]; ok {
		d.As = &r.sameAs
	}
	if !y.fetched(d, r.Slug) || reflect.DeepEqual(d, y.state.Next) {
		return true
	}
	if y.state.Next != nil && y.state.Next.ReleaseID == d.ReleaseID {
		delete(y.state.Failed, d.ReleaseID) // somebody asks again
	}
	y.beginAnew()
	y.state.Next = d
	y.state.forget()
	return true
}

// fail gives the current release up, unless it was good once.
func (y *system) fail(who, why string) {
	if next := y.state.Next; next != nil && !y.state.good(next) {
		y.giveUp(who, "did not prove itself", why)
	}
}

// giveUp has the last good release run instead of the current one.
func (y *system) giveUp(who, how, why string) {
	next := y.state.Next
	if y.state.Failed[next.ReleaseID] != "" {
		return
	}
	text := fmt.Sprintf("Release v%d %s: %s: %s.", next.Version, how, who, why)
	if y.state.Good != nil {
		text += fmt.Sprintf(" The platform goes on with v%d.", y.state.Good.Version)
	} else {
		text += " The seed goes on by itself."
	}
	y.beginAnew()
	y.state.Failed[next.ReleaseID] = text
	y.log.Error(text)
	y.say(next.AppID, componentSeed, "heroku", text) // who is no dyno if it is the whole
}

// beginAnew forgets what was seen of the release that shall run no more.
func (y *system) beginAnew() {
	clear(y.crashes)
	clear(y.startAt)
	clear(y.rows)
	y.chain.stop()
}

// lastWords is how much of a dyno's last words goes into the reason, in bytes.
const lastWords = 400

// failDyno gives the current release up if one of its dynos cannot do its work.
func (y *system) failDyno(d *systemDyno, why string) {
	if y.state.Next.has(d) { // else it stands in
		y.fail(d.Name(), d.withLastWords(why))
	}
}

func (d *systemDyno) withLastWords(why string) string {
	if said := d.said.Load(); said != nil && *said != "" {
		why += fmt.Sprintf(" (its last words: %s)", strings.ToValidUTF8((*said)[:min(len(*said), lastWords)], ""))
	}
	return why
}

// conclude is what follows when all dynos have proven themselves: the whole
// has to, while the ground is there, and then the release is good. It reports whether all is settled.
func (y *system) conclude(want *desired, ground bool) bool {
	if want != y.state.Next || len(y.dynos) == 0 || len(y.state.Rescued) > 0 || reflect.DeepEqual(y.state.Good, want) {
		return true
	}
	if !y.state.good(want) {
		if !ground {
			return false
		}
		switch done, err := y.chain.look(y.seed.ctx, y.wake, y.prover.Chain); {
		case done:
		case err != nil && y.chain.lasts() > y.seed.cfg.proofLimit():
			y.fail("the platform as a whole", err.Error())
			return false
		default:
			return false
		}
	}
	y.log.Info("the release has proved itself", "version", want.Version)
	y.state.Good = want
	y.state.remember(want, time.Now())
	return true
}

// note writes the word on the current release into the database, where people
// and api wait for it; one that failed is rolled back there, too.
func (y *system) note(ctx context.Context, settled bool) {
	next := y.state.Next
	if next == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	failed := y.state.Failed[next.ReleaseID]
	switch {
	case failed != "" && y.state.Good != nil:
		good := y.state.Good
		id, err := y.seed.api.RollbackSystem(ctx, next.ReleaseID, good.ReleaseID, failed)
		if err != nil {
			y.log.Error("cannot roll back in the database; trying again", "err", err)
			return
		}
		if id != "" {
			y.state.Same[id] = rolledBack{good.code(), failed}
			y.write() // lest another seed takes it for a release with code of its own
			y.seed.bus.Ring(hoist.BellFormation+next.AppID, nil)
			y.wake()
		}
	case failed != "":
		y.noteStatus(ctx, next.ReleaseID, hoist.ReleaseFailed, failed)
	case settled:
		y.noteStatus(ctx, next.ReleaseID, hoist.ReleaseSucceeded, "")
	}
}

func (y *system) noteStatus(ctx context.Context, release hoist.ID, status, reason string) {
	if y.noted[release] == status {
		return
	}
	if err := y.seed.api.SetReleaseStatus(ctx, release, status, reason); err != nil {
		y.log.Error("cannot write how the release is; trying again", "err", err)
		return
	}
	clear(y.noted)
	y.noted[release] = status
	y.seed.bus.Ring(hoist.BellFormation+y.state.Next.AppID, nil)
}
