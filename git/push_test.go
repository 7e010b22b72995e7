package git_test

import (
	"strings"
	"testing"
)

func TestPushCloneFetchThroughBothDoors(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	for door, url := range map[string]func(string) string{
		"ssh":  s.sshURL,
		"http": func(app string) string { return s.httpURL(ann, app) },
	} {
		t.Run(door, func(t *testing.T) {
			name := "shop-" + door
			app := ann.app(name)
			dir := ann.work()
			if out := ann.git(t.TempDir(), "clone", url(name), "empty"); !strings.Contains(out, "empty repository") {
				t.Error(out)
			}
			out := ann.git(dir, "push", url(name), "main")
			if !strings.Contains(out, "remote: -----> Launching... done") {
				t.Error(out)
			}
			t.Log("\n" + out)
			if out := ann.git(dir, "push", url(name), "main"); !strings.Contains(out, "Everything up-to-date") {
				t.Error(out)
			}
			clone := t.TempDir()
			ann.git(clone, "clone", "-q", url(name), ".")
			second := ann.commit(dir, "ok second")
			ann.git(dir, "push", url(name), "main")
			if w.refs(app)["refs/heads/main"] != second {
				t.Error(w.refs(app))
			}
			ann.git(clone, "pull", "-q", "--ff-only")
			if got := strings.TrimSpace(ann.git(clone, "rev-parse", "HEAD")); got != second {
				t.Error("pulled", got)
			}
			ann.git(dir, "commit", "-q", "--amend", "-m", "ok amended")
			ann.git(dir, "push", "--force", url(name), "main")
		})
	}
}

func TestARejectedPushMovesNoRef(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	ann.git(dir, "push", s.sshURL("shop"), "main")
	before := w.refs(app)
	ann.commit(dir, "fail this")
	for _, url := range []string{s.sshURL("shop"), s.httpURL(ann, "shop")} {
		out := ann.fails("pre-receive hook declined", dir, "push", url, "main", "HEAD:refs/heads/other")
		if strings.Count(out, "failed to compile") != 1 || !strings.Contains(out, "Push rejected to shop.") {
			t.Error(out)
		}
		t.Log("\n" + out)
	}
	if after := w.refs(app); len(after) != 1 || after["refs/heads/main"] != before["refs/heads/main"] {
		t.Error(before, after)
	}
	ann.commit(dir, "ok again")
	ann.git(dir, "push", s.sshURL("shop"), "main")
}
