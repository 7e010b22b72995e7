package git

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// errRejected rejects a push of which everything has been said.
var errRejected = errors.New("push rejected")

// pushing is a push whose objects are there, in git's quarantine.
type pushing struct {
	*session
	scratch *scratch
	before  hoist.Repo // as git advertised it, or newer
	env     []string   // for git, to see the quarantine
	say     func(text string)
}

// accept makes a push last, or says why not: it deploys main and master and
// stores everything else. All refs of a push move together, or none.
func (p *pushing) accept(ctx context.Context, updates []hoist.RefUpdate) error {
	unlock, err := p.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := p.endOrphans(ctx); err != nil {
		return err
	}
	deploy, err := deployOf(updates)
	if err != nil {
		return err
	}
	head := refMain
	if deploy != nil {
		head = deploy.Name
	}
	repo, err := p.DB.PrepareRepo(ctx, p.app.ID, head)
	if err != nil {
		return err
	}
	// git compares with the scratch repository at the end, we with the truth.
	if err := errors.Join(checkUpdates(repo.Refs, updates), checkUpdates(p.before.Refs, updates)); err != nil {
		return firstOf(err)
	}
	if err := p.checkObjects(ctx, updates); err != nil {
		return err
	}
	push := hoist.Push{Generation: repo.Generation, Refs: updates}
	if push.Pack, err = p.storePack(ctx, repo, updates); err != nil {
		return err
	}
	if deploy != nil {
		err = p.deploy(ctx, push, deploy.New)
	} else {
		err = p.DB.MoveRefs(ctx, p.app.ID, push)
		if e, ok := hoist.AsError(err); ok {
			return refusal(e.Message)
		}
		if err == nil {
			p.say(undeployed(updates))
		}
	}
	return err
}

// undeployed is what to say of updates none of which deploys.
func undeployed(updates []hoist.RefUpdate) string {
	said := ""
	for _, u := range updates {
		switch branch, ok := strings.CutPrefix(u.Name, "refs/heads/"); {
		case u.Deletes():
		case ok:
			return "Pushed to non-main branch, skipping build. To deploy it: git push hoist " + branch + ":main\n"
		default:
			said = "Stored, skipping build: only the branches main and master deploy.\n"
		}
	}
	return said
}

// firstOf is the first of joined errors.
func firstOf(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}

// lock waits for other pushes to the app, in whatever process.
func (p *pushing) lock(ctx context.Context) (unlock func(), err error) {
	began := time.Now()
	wait, cancel := context.WithTimeout(ctx, p.PushWait)
	defer cancel()
	waited := false
	unlock, err = p.DB.Lock(wait, pushLock(p.app.ID), func(since time.Duration) {
		waited = true
		p.say(fmt.Sprintf("Another push to %s is in progress (started %d s ago); waiting...\n", p.app.Name, int(since.Seconds())))
	})
	if err != nil && waited && ctx.Err() == nil && wait.Err() != nil {
		return nil, refuse("Another push to %s is still in progress after %s. Push again when it is done.",
			p.app.Name, time.Since(began).Round(time.Second))
	}
	return unlock, err
}

func pushLock(appID hoist.ID) string { return "push " + appID }

// endOrphans ends the builds of pushes whose git process was killed: we hold
// their lock, so nobody waits for them any more. What is already being
// released is waited for.
func (p *pushing) endOrphans(ctx context.Context) error {
	for began := time.Now(); ; {
		orphans, err := p.DB.OpenPushedBuilds(ctx, p.app.ID)
		if err != nil || len(orphans) == 0 {
			return err
		}
		if time.Since(began) > p.PushWait {
			return refuse("An earlier push to %s is still being released after %s. Push again when it is done.", p.app.Name, p.PushWait)
		}
		for _, id := range orphans {
			if err := p.DB.CancelPushedBuild(ctx, id, "Its push was interrupted and another one came."); err != nil {
				return err
			}
			p.ring(id)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// ring tells who works on a build to look at it.
func (p *pushing) ring(id hoist.ID) { p.Bus.Ring(hoist.BellBuild+"."+id, nil) }

// checkObjects refuses what git would refuse after its hook: a branch has to
// be a commit.
func (p *pushing) checkObjects(ctx context.Context, updates []hoist.RefUpdate) error {
	var ask strings.Builder
	var names []string
	for _, u := range updates {
		if !u.Deletes() {
			fmt.Fprintln(&ask, u.New)
			names = append(names, u.Name)
		}
	}
	types, err := p.objectTypes(ctx, ask.String())
	if err != nil {
		return err
	}
	for i, name := range names {
		if types[i] == "missing" {
			return refuse("%s: some of its objects are missing. Is your clone complete?", short(name))
		}
		if strings.HasPrefix(name, "refs/heads/") && types[i] != "commit" {
			return refuse("%s is a %s; a branch has to be a commit.", short(name), types[i])
		}
	}
	return nil
}

// objectTypes returns the type of each object, one a line, or "missing".
func (p *pushing) objectTypes(ctx context.Context, objects string) ([]string, error) {
	out, err := p.git(ctx, strings.NewReader(objects), "cat-file", "--batch-check=%(objecttype)")
	if err != nil {
		return nil, err
	}
	var types []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		types = append(types, f[len(f)-1])
	}
	if len(types) != strings.Count(objects, "\n") {
		return nil, fmt.Errorf("git cat-file: %d answers to %d questions", len(types), strings.Count(objects, "\n"))
	}
	return types, nil
}
