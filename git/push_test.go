package git_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/git"
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

func TestOtherBranchesAndTagsAreStoredWithoutABuild(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	url := s.sshURL("shop")
	out := ann.git(dir, "push", url, "main:topic")
	if !strings.Contains(out, "Pushed to non-main branch, skipping build. To deploy it: git push hoist topic:main") || len(w.states(app)) != 0 {
		t.Error(out, w.states(app))
	}
	ann.git(dir, "tag", "-a", "v1", "-m", "one")
	if out := ann.git(dir, "push", url, "v1"); !strings.Contains(out, "Stored, skipping build") {
		t.Error(out)
	}
	ann.git(dir, "push", url, "main:x/y")
	ann.fails("cannot both exist", dir, "push", url, "main:refs/heads/x")
	ann.fails("a branch has to be a commit", dir, "push", url, "v1:refs/heads/tagged")
	if out := ann.git(dir, "push", url, ":x/y"); strings.Contains(out, "skipping") {
		t.Error(out)
	}
	ann.git(dir, "push", url, "main:x")

	t.Run("main and master both deploy", func(t *testing.T) {
		ann.git(dir, "push", url, "main:master")
		if head := ann.git(dir, "ls-remote", "--symref", url, "HEAD"); !strings.Contains(head, "ref: refs/heads/master") {
			t.Error(head)
		}
		out := ann.git(dir, "push", url, "main")
		if !strings.Contains(out, "Launching") {
			t.Error(out)
		}
		ann.commit(dir, "ok both")
		ann.git(dir, "push", url, "main", "main:master")
		if got := w.states(app); len(got) != 3 {
			t.Error(got)
		}
		ann.commit(dir, "ok differ")
		ann.git(dir, "branch", "other")
		ann.commit(dir, "ok differ again")
		ann.fails("main and master are different commits", dir, "push", url, "main", "other:master")
		ann.fails("main cannot be deleted", dir, "push", url, ":main", ":master")
		ann.git(dir, "push", url, ":master") // what it is for is main's now
		if head := ann.git(dir, "ls-remote", "--symref", url, "HEAD"); !strings.Contains(head, "ref: refs/heads/main") {
			t.Error(head)
		}
		ann.fails("main cannot be deleted", dir, "push", url, ":main")
		ann.git(dir, "push", url, "other:master")
	})
	refs := w.refs(app)
	for _, name := range []string{"refs/heads/topic", "refs/heads/x", "refs/tags/v1", "refs/heads/main", "refs/heads/master"} {
		if refs[name] == "" {
			t.Error(name, "is missing:", refs)
		}
	}
	if len(refs) != 5 {
		t.Error(refs)
	}
	mirror := t.TempDir()
	ann.git(mirror, "clone", "-q", "--mirror", url, ".")
	ann.git(mirror, "fsck", "--full", "--strict")
}

func TestAPushWaitsForTheOneBeforeIt(t *testing.T) {
	w := newWorld(t)
	one, two := w.server(), w.server() // two processes' worth
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	ann.commit(dir, "slow first")
	first := ann.start(dir, "push", one.sshURL("shop"), "main")
	first.waitFor("Stand-in app detected")
	second := ann.start(dir, "push", two.httpURL(ann, "shop"), "main:topic")
	second.waitFor("Another push to shop is in progress (started ")
	if len(w.refs(app)) != 0 {
		t.Error("the second push did not wait")
	}
	w.finish <- struct{}{}
	if err := first.wait(); err != nil {
		t.Error(err, first.output())
	}
	if err := second.wait(); err != nil {
		t.Error(err, second.output())
	}
	if refs := w.refs(app); len(refs) != 2 {
		t.Error(refs)
	}
}

func TestAPushIsToldThatItWaitedTooLongOrCameTooLate(t *testing.T) {
	w := newWorld(t)
	s, hasty := w.server(), w.server(func(c *git.Config) { c.PushWait = 500 * time.Millisecond })
	ann := w.person("ann")
	ann.app("shop")
	dir := ann.work()
	ann.commit(dir, "slow first")
	first := ann.start(dir, "push", s.sshURL("shop"), "main")
	first.waitFor("Stand-in app detected")
	ann.fails("Another push to shop is still in progress", dir, "push", hasty.sshURL("shop"), "main")
	late := ann.start(dir, "push", s.sshURL("shop"), "main~1:refs/heads/main")
	late.waitFor("Another push to shop")
	w.finish <- struct{}{}
	if err := first.wait(); err != nil {
		t.Error(err, first.output())
	}
	if err := late.wait(); err == nil || !strings.Contains(late.output(), "main was moved by another push meanwhile") {
		t.Error(err, late.output())
	}
}

func TestInterruptedPushCancelsItsBuild(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	ann.commit(dir, "slow build")
	for i, url := range []string{s.sshURL("shop"), s.httpURL(ann, "shop")} {
		push := ann.start(dir, "push", url, "main")
		push.waitFor("Stand-in app detected")
		push.interrupt()
		push.wait()
		eventually(t, "the build is canceled", func() bool {
			states := w.states(app)
			return len(states) == i+1 && states[i] == "canceled"
		})
	}
	if refs := w.refs(app); len(refs) != 0 {
		t.Error(refs)
	}
	ann.commit(dir, "ok now")
	ann.git(dir, "push", s.sshURL("shop"), "main")
	eventually(t, "nothing is left of the interrupted pushes", func() bool {
		left, _ := filepath.Glob(filepath.Join(s.dir, "pushes", "*"))
		return len(left) == 0
	})
}

func TestPushEndsWhenTheBusSaysNothing(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	ann.app("shop")
	dir := ann.work()
	ann.commit(dir, "silent build")
	if out := ann.git(dir, "push", s.sshURL("shop"), "main"); !strings.Contains(out, "remote: the whole output") {
		t.Error(out)
	}
}

func TestSilentPhasesKeepTheConnectionAlive(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	ann.app("shop")
	dir := ann.work()
	ann.commit(dir, "slow build")
	cmd := ann.command(dir, "git", "push", s.httpURL(ann, "shop"), "main")
	cmd.Env = append(cmd.Env, "GIT_TRACE_PACKET=1")
	push := start(t, cmd)
	push.waitFor("Stand-in app detected")
	time.Sleep(6 * time.Second) // receive.keepAlive is 5 s
	w.finish <- struct{}{}
	if err := push.wait(); err != nil || strings.Count(push.output(), "sideband< 0005") == 0 && !strings.Contains(push.output(), "< \\1") {
		t.Error(err, push.output())
	}
}

func TestOversizedPushIsRefusedWithAReason(t *testing.T) {
	w := newWorld(t)
	s := w.server(func(c *git.Config) { c.PushLimit = 1 << 20 })
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	big := make([]byte, 8<<20)
	rand.Read(big)
	os.WriteFile(filepath.Join(dir, "big"), big, 0o644)
	ann.commit(dir, "ok big")
	ann.fails("pack exceeds maximum allowed size", dir, "push", s.sshURL("shop"), "main")
	ann.fails("pack exceeds maximum allowed size", dir, "push", s.httpURL(ann, "shop"), "main")
	if refs := w.refs(app); len(refs) != 0 {
		t.Error(refs)
	}
}

func TestAFullRepositoryTakesWhatItsBranchesAndTagsHaveRoomFor(t *testing.T) {
	w := newWorld(t)
	s := w.server(func(c *git.Config) { c.RepoLimit = 3 << 20 })
	ann := w.person("ann")
	app := ann.app("shop")
	dir, url := ann.work(), s.sshURL("shop")
	ann.git(dir, "push", url, "main")
	noise := func(mib int) {
		ann.git(dir, "reset", "-q", "--hard", "main")
		data := make([]byte, mib<<20)
		rand.Read(data)
		os.WriteFile(filepath.Join(dir, "noise"), data, 0o644)
		ann.commit(dir, "ok noise")
	}
	ann.git(dir, "checkout", "-q", "-b", "work")
	noise(2)
	ann.git(dir, "push", url, "work:topic")
	noise(2)
	ann.fails("the branches and tags of shop need 5 MiB; a repository may have 3.", dir, "push", url, "work:other")
	ann.git(dir, "push", url, "main:old") // needs nothing
	ann.git(dir, "push", url, ":topic")
	for range 4 { // there is room at once
		ann.git(dir, "push", "--force", url, "work:other")
		eventually(t, "what no branch needs is removed", func() bool {
			r, err := w.api.Repo(t.Context(), app)
			return err == nil && len(r.Packs) == 1 && r.Packs[0].Size < 3<<20
		})
		noise(2)
	}
	noise(7)
	ann.fails("the branches and tags of shop need 8 MiB", dir, "push", "--force", url, "work:other")
	clone := t.TempDir()
	ann.git(clone, "clone", "-q", "--mirror", url, ".")
	ann.git(clone, "fsck", "--full")
}

func TestSourcesThatAreBigUnpackedAreRefused(t *testing.T) {
	w := newWorld(t)
	s := w.server(func(c *git.Config) { c.SourceLimit = 2 << 20 })
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	os.WriteFile(filepath.Join(dir, "zeros"), make([]byte, 3<<20), 0o644)
	ann.commit(dir, "ok small packed")
	ann.fails("The source is more than 2 MiB unpacked", dir, "push", s.sshURL("shop"), "main")

	// A thousand times a directory of a thousand times the same file.
	object, mode := strings.TrimSpace(ann.git(dir, "rev-parse", "HEAD:file")), "100644"
	for range 2 {
		raw, _ := hex.DecodeString(object)
		var tree []byte
		for i := range 1000 {
			tree = append(fmt.Appendf(tree, "%s %03d\x00", mode, i), raw...)
		}
		os.WriteFile(filepath.Join(dir, "tree"), tree, 0o644)
		object, mode = strings.TrimSpace(ann.git(dir, "hash-object", "-w", "-t", "tree", "tree")), "40000"
	}
	commit := strings.TrimSpace(ann.git(dir, "commit-tree", object, "-m", "ok many"))
	ann.fails("more than 500,000 files", dir, "push", s.sshURL("shop"), commit+":refs/heads/main")
	if refs, builds := w.refs(app), w.states(app); len(refs) != 0 || len(builds) != 0 {
		t.Error(refs, builds)
	}
}

func TestTreesThatEscapeAreRefused(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	ann.app("shop")
	dir := ann.work()
	blob := strings.TrimSpace(ann.git(dir, "hash-object", "-w", "file"))
	for _, name := range []string{".git", "..", ".GIT"} {
		raw, _ := hex.DecodeString(blob)
		os.WriteFile(filepath.Join(dir, "tree"), append([]byte("100644 "+name+"\x00"), raw...), 0o644)
		tree := strings.TrimSpace(ann.git(dir, "hash-object", "-w", "-t", "tree", "--literally", "tree"))
		commit := strings.TrimSpace(ann.git(dir, "commit-tree", tree, "-m", "ok evil"))
		ann.fails("remote unpack failed", dir, "push", s.sshURL("shop"), commit+":refs/heads/main")
	}
}

func TestOldDefectsOfHistoriesAreForgiven(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	ann.app("shop")
	dir := ann.work()
	tree := strings.TrimSpace(ann.git(dir, "rev-parse", "HEAD^{tree}"))
	os.WriteFile(filepath.Join(dir, "commit"), []byte("tree "+tree+"\nauthor A <a@b> 1 +051800\ncommitter A <a@b> 1 +051800\n\nok old\n"), 0o644)
	commit := strings.TrimSpace(ann.git(dir, "hash-object", "-w", "-t", "commit", "--literally", "commit"))
	ann.git(dir, "push", s.sshURL("shop"), commit+":refs/heads/main")
}

func TestShallowClonesMayPushWhatIsWhole(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	ann.app("shop")
	app := ann.app("other")
	dir, shallow := ann.work(), t.TempDir()
	ann.commit(dir, "ok second")
	ann.git(dir, "push", s.sshURL("shop"), "main")
	ann.git(shallow, "clone", "-q", "--depth", "1", s.sshURL("shop"), ".")
	ann.commit(shallow, "ok third")
	ann.fails("git fetch --unshallow", shallow, "push", s.sshURL("other"), "main")
	if refs := w.refs(app); len(refs) != 0 {
		t.Error(refs)
	}
	ann.git(shallow, "push", s.sshURL("shop"), "main")
	ann.git(shallow, "fetch", "-q", "--unshallow")
	ann.git(shallow, "push", s.sshURL("other"), "main")
}

func TestLongSubjectsAreCut(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	ann.app("shop")
	dir := ann.work()
	message := filepath.Join(w.home, "message")
	os.WriteFile(message, []byte("ok "+strings.Repeat("é", 1<<20)), 0o644)
	ann.git(dir, "commit", "-q", "--allow-empty", "-F", message)
	ann.git(dir, "push", s.sshURL("shop"), "main")
	var got string
	if err := w.api.Pool.QueryRow(t.Context(), `SELECT source_description FROM builds`).Scan(&got); err != nil || got != "ok "+strings.Repeat("é", 248) {
		t.Error(err, got)
	}
}

func TestSubmodulesAreWarnedOf(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	ann.app("shop")
	dir := ann.work()
	os.WriteFile(filepath.Join(dir, ".gitmodules"), []byte("[submodule \"x\"]\n\tpath = x\n\turl = https://example.com/x.git\n"), 0o644)
	ann.git(dir, "update-index", "--add", "--cacheinfo", "160000,"+strings.TrimSpace(ann.git(dir, "rev-parse", "HEAD"))+",x")
	ann.commit(dir, "ok with a submodule")
	if out := ann.git(dir, "push", s.sshURL("shop"), "main"); !strings.Contains(out, "Submodules are not part of a push") {
		t.Error(out)
	}
}

func TestSourceIsWhatACheckoutHas(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	ann.app("shop")
	dir := ann.work()
	os.WriteFile(filepath.Join(dir, ".gitattributes"), []byte("file export-ignore\nver export-subst\n"), 0o644)
	os.WriteFile(filepath.Join(dir, "ver"), []byte("$Format:%H$"), 0o755)
	ann.commit(dir, "ok attributes")
	ann.git(dir, "push", s.sshURL("shop"), "main")
	ann.git(dir, "push", s.sshURL("shop"), "main:master")
	var sums []string
	blobs := w.blobs.Open(hoist.ComponentGit)
	err := blobs.List(t.Context(), "builds/", func(b hoist.BlobInfo) error {
		r, _, err := blobs.Get(t.Context(), b.Key)
		if err != nil {
			return err
		}
		defer r.Close()
		data, err := io.ReadAll(r)
		sums = append(sums, fmt.Sprintf("%x", sha256.Sum256(data)))
		list := exec.Command("tar", "-xzOf", "-", "file", "ver")
		list.Stdin = bytes.NewReader(data)
		out, tarErr := list.Output()
		if tarErr != nil || !strings.HasSuffix(string(out), "$Format:%H$") {
			t.Error(tarErr, string(out))
		}
		return err
	})
	if err != nil || len(sums) != 2 || sums[0] != sums[1] {
		t.Error(err, sums)
	}
}

func TestPushesGoOnForAWhileWhenTheServerIsToEnd(t *testing.T) {
	w := newWorld(t)
	s := w.server(func(c *git.Config) { c.Drain = 2 * time.Second })
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	ann.app("other")
	ann.commit(dir, "slow build")
	push := ann.start(dir, "push", s.sshURL("shop"), "main")
	push.waitFor("Stand-in app detected")
	stuck := ann.start(dir, "push", s.httpURL(ann, "other"), "main")
	stuck.waitFor("Stand-in app detected")
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	time.Sleep(500 * time.Millisecond)
	for len(w.refs(app)) == 0 {
		w.finish <- struct{}{} // whichever of the two
		time.Sleep(300 * time.Millisecond)
		break
	}
	<-stopped
	errs := []error{push.wait(), stuck.wait()}
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Error(errs, push.output(), stuck.output())
	}
	if all := push.output() + stuck.output(); strings.Count(all, "git process is being replaced") != 1 {
		t.Error(all)
	}
}

func TestAReleaseThatFailsFailsThePushThoughItsRefsMoved(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	ann.git(dir, "push", s.sshURL("shop"), "main")
	for _, url := range []string{s.sshURL("shop"), s.httpURL(ann, "shop")} {
		commit := ann.commit(dir, "unproven")
		out := ann.fails("Launching... failed", dir, "push", url, "main")
		if !strings.Contains(out, "in shop's repository all the same") {
			t.Error(out)
		}
		if w.refs(app)["refs/heads/main"] != commit {
			t.Error(w.refs(app))
		}
		ann.git(dir, "push", url, "main") // nothing to do
	}
	ann.commit(dir, "ok again")
	ann.git(dir, "push", s.sshURL("shop"), "main")
}

func TestPushesFinishHoweverLongTheirBuildsAre(t *testing.T) {
	w := newWorld(t)
	s := w.server(func(c *git.Config) { c.Drain = time.Minute })
	ann := w.person("ann")
	dir := ann.work()
	ann.commit(dir, "slow build")
	ssh, http := ann.app("overssh"), ann.app("overhttp")
	first := ann.start(dir, "push", s.sshURL("overssh"), "main")
	first.waitFor("Stand-in app detected")
	second := ann.start(dir, "push", s.httpURL(ann, "overhttp"), "main")
	second.waitFor("Stand-in app detected")
	go s.stop()
	time.Sleep(6 * time.Second) // longer than it takes new requests
	for range 2 {
		w.finish <- struct{}{}
	}
	for _, err := range []error{first.wait(), second.wait()} {
		if err != nil {
			t.Error(err, first.output(), second.output())
		}
	}
	if len(w.refs(ssh)) != 1 || len(w.refs(http)) != 1 {
		t.Error(w.refs(ssh), w.refs(http))
	}
}
