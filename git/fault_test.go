package git_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/git"
)

func TestAKilledServerLeavesNothingThatStopsTheNextPush(t *testing.T) {
	w := newWorld(t)
	s := w.process("")
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	ann.commit(dir, "slow build")
	push := ann.start(dir, "push", s.sshURL("shop"), "main")
	push.waitFor("Stand-in app detected")
	s.kill()
	if err := push.wait(); err == nil {
		t.Error(push.output())
	}
	if refs := w.refs(app); len(refs) != 0 {
		t.Error(refs)
	}
	again := w.process(s.dir)
	last := ann.commit(dir, "ok now")
	ann.git(dir, "push", again.sshURL("shop"), "main")
	if refs := w.refs(app); refs["refs/heads/main"] != last {
		t.Error(refs, last)
	}
	if states := w.states(app); len(states) != 2 || states[0] != "canceled" || states[1] != "succeeded" {
		t.Error(states)
	}
	eventually(t, "the killed push's files are removed", func() bool {
		left, _ := filepath.Glob(filepath.Join(s.dir, "pushes", "*"))
		return len(left) == 0
	})
}

func TestHalfAPushLeavesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	noise := make([]byte, 24<<20)
	x := uint32(1)
	for i := range noise {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		noise[i] = byte(x)
	}
	os.WriteFile(filepath.Join(dir, "noise"), noise, 0o644)
	ann.commit(dir, "ok noise")
	for _, url := range []string{s.sshURL("shop"), s.httpURL(ann, "shop")} {
		push := ann.start(dir, "push", "--progress", url, "main")
		eventually(t, "some of the pack is there", func() bool { return size(filepath.Join(s.dir, "pushes")) > 1<<20 })
		push.kill(syscall.SIGKILL)
		push.wait()
		eventually(t, "nothing is left", func() bool { return size(filepath.Join(s.dir, "pushes")) == 0 })
	}
	if len(w.states(app)) != 0 || len(w.refs(app)) != 0 {
		t.Error(w.states(app), w.refs(app))
	}
	ann.git(dir, "push", s.sshURL("shop"), "main")
}

func size(dir string) (n int64) {
	filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			n += info.Size()
		}
		return nil
	})
	return n
}

func TestAPushSurvivesTheBusGoingAway(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	last := ann.commit(dir, "slow build")
	push := ann.start(dir, "push", s.sshURL("shop"), "main")
	push.waitFor("Stand-in app detected")
	w.nats.Stop()
	w.finish <- struct{}{}
	if err := push.wait(); err != nil {
		t.Error(err, push.output())
	}
	if !strings.Contains(push.output(), "main -> main") || w.refs(app)["refs/heads/main"] != last {
		t.Error(push.output(), w.refs(app))
	}
	began := time.Now()
	ann.commit(dir, "ok without a bus")
	ann.git(dir, "push", s.sshURL("shop"), "main")
	t.Log("push without a bus took", time.Since(began))
}

// faulty is a database in which something happens at a call.
type faulty struct {
	git.Database
	prepare func()
	insert  func(do func() error) // the answer to an insert is lost
}

func (f *faulty) PrepareRepo(ctx context.Context, appID hoist.ID, head string) (hoist.Repo, error) {
	if f.prepare != nil {
		f.prepare()
	}
	return f.Database.PrepareRepo(ctx, appID, head)
}

func (f *faulty) InsertPushedBuild(ctx context.Context, b hoist.Build) error {
	do := func() error { return f.Database.InsertPushedBuild(context.WithoutCancel(ctx), b) }
	if f.insert == nil {
		return do()
	}
	f.insert(do)
	return errors.New("connection reset")
}

func TestAPushToAnAppThatIsDestroyedMeanwhileSaysSo(t *testing.T) {
	w := newWorld(t)
	db := &faulty{}
	s := w.server(func(c *git.Config) { db.Database, c.DB = c.DB, db })
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	db.prepare = func() { w.exec(`DELETE FROM apps WHERE id = $1`, app) }
	ann.fails("shop was destroyed or renamed meanwhile", dir, "push", s.sshURL("shop"), "main")
}

func TestABuildWhoseInsertWasNotConfirmedIsCanceled(t *testing.T) {
	w := newWorld(t)
	db := &faulty{}
	s := w.server(func(c *git.Config) { db.Database, c.DB = c.DB, db })
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	ann.commit(dir, "slow build")
	committed := make(chan error, 1)
	for i, insert := range []func(do func() error){
		func(do func() error) { committed <- do() },
		func(do func() error) { // the commit takes its time
			time.AfterFunc(1500*time.Millisecond, func() { committed <- do() })
		},
	} {
		db.insert = insert
		ann.fails("Something is wrong here", dir, "push", s.sshURL("shop"), "main")
		if err := <-committed; err != nil {
			t.Fatal(err)
		}
		eventually(t, "the build is canceled", func() bool {
			states := w.states(app)
			return len(states) == i+1 && states[i] == "canceled"
		})
	}
}
