package git

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// subjectKept is how much of a commit's subject is kept, in bytes.
const subjectKept = 500

// errDraining ends what waits for a build when this process has to end.
var errDraining = refuse("The platform's git process is being replaced. The build goes on without this terminal;\n" +
	"`hoist releases` shows how it ends.")

// deploy has a commit built and released, showing the output as it comes. The
// refs move in the transaction that makes the release.
func (p *pushing) deploy(ctx context.Context, push hoist.Push, commit string) error {
	p.say("Compressing source files... ")
	build := hoist.Build{
		ID:            hoist.NewID(),
		AppID:         p.app.ID,
		AccountID:     p.account.ID,
		SourceVersion: commit,
		Push:          &push,
	}
	subject := &head{limit: subjectKept}
	if err := runTo(ctx, subject, p.scratch.dir, p.env, nil, "log", "-1", "--format=%s", "--encoding=UTF-8", commit); err != nil {
		return err
	}
	build.SourceDescription = strings.ToValidUTF8(strings.TrimSpace(string(subject.b)), "")
	build.SourceKey = buildPrefix + build.ID + sourceName
	var err error
	if build.SourceChecksum, err = p.storeSource(ctx, build.SourceKey, commit); err != nil {
		p.say("failed.\n")
		return err
	}
	p.say("done.\n")
	if _, err := p.git(ctx, nil, "cat-file", "-e", commit+":.gitmodules"); err == nil {
		p.say(bang("Submodules are not part of a push: their directories are empty in the build.\n" +
			"Commit their files (git subtree), or fetch them in a buildpack."))
	}
	if err := p.DB.InsertPushedBuild(ctx, build); err != nil {
		p.cancel(build.ID) // it may be there all the same
		return err
	}
	p.Bus.Ring(hoist.BellBuild, []byte(build.ID))
	p.say("Building source:\n\n")
	ended, err := p.relay(ctx, build.ID)
	if err != nil {
		if p.gone.Err() == nil { // the client has gone, not we
			p.cancel(build.ID)
			return err
		}
		return errDraining
	}
	if ended.ReleaseFailed {
		// git can only be told that the refs were refused, which makes its exit
		// code an error. They did move; the words say so.
		p.say("\n" + bang("The commit is in "+p.app.Name+"'s repository all the same: pushing it again changes nothing.\n"+
			"Push one that works."))
		return errRejected
	}
	if ended.State == hoist.BuildSucceeded || ended.ReleaseID != "" {
		return nil
	}
	p.say("\n" + bang("Push rejected to "+p.app.Name+"."))
	return errRejected
}

// cancel ends a build nobody waits for, even if the database is away for a
// moment, or has yet to commit what inserts it.
func (p *pushing) cancel(id hoist.ID) {
	p.background(func(ctx context.Context) {
		ctx, stop := context.WithTimeout(ctx, 30*time.Second)
		defer stop()
		for {
			_, _, err := p.DB.PushedBuild(ctx, id)
			if err == nil {
				err = p.DB.CancelPushedBuild(ctx, id, "The push was interrupted.")
			}
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
		p.ring(id)
	})
}

// outputKept is how much output a build's row keeps.
const outputKept = 1 << 20

// streamGrace is how long the stream of a build that has ended may be silent
// before the rest is taken from its row.
const streamGrace = time.Second

// relay shows a build's output until the build ends, and returns its row. The
// stream is only a help: what counts is the row, looked at when the stream or
// a bell says so and every ResyncInterval.
func (p *pushing) relay(ctx context.Context, id hoist.ID) (hoist.Build, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := p.Bus.Tail(ctx, hoist.StreamBuilds+id, true)
	if err != nil {
		return hoist.Build{}, err
	}
	bell := make(chan struct{}, 1)
	err = p.Bus.Listen(ctx, hoist.BellBuild+"."+id, func(string, []byte) {
		select {
		case bell <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return hoist.Build{}, err
	}
	shown := &shown{say: p.say}
	var ended hoist.Build
	var output string
	look := time.NewTimer(0)
	grace := time.NewTimer(time.Hour)
	grace.Stop()
	for {
		select {
		case <-ctx.Done():
			return ended, ctx.Err()
		case <-grace.C:
			shown.rest(output, ended.Error)
			return ended, nil
		case m, ok := <-stream:
			if !ok {
				stream = nil
				continue
			}
			if shown.chunk(m.Data) {
				if ended.State.Done() {
					shown.rest("", ended.Error)
					return ended, nil
				}
				look.Reset(0)
			}
			if ended.State.Done() {
				grace.Reset(streamGrace)
			}
		case <-bell:
			look.Reset(0)
		case <-look.C:
			look.Reset(hoist.ResyncInterval)
			b, out, err := p.DB.PushedBuild(ctx, id)
			switch {
			case errors.Is(err, hoist.ErrNotFound):
				return b, refuse("The app was destroyed meanwhile.")
			case err != nil: // once more at the next look
			case !b.State.Done():
				if shown.ended { // the row follows the stream's end at once
					look.Reset(100 * time.Millisecond)
				}
			case !ended.State.Done():
				ended, output = b, out
				if shown.ended {
					shown.rest("", ended.Error)
					return ended, nil
				}
				grace.Reset(streamGrace)
			}
		}
	}
}
