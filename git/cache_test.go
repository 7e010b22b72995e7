package git_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/git"
)

func TestTheLocalMirrorMayVanishOrBreakAtAnyTime(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	damage := map[string]func(mirror string){
		"gone":        func(m string) { os.RemoveAll(s.dir) },
		"refs behind": func(m string) { os.WriteFile(filepath.Join(m, "packed-refs"), nil, 0o600) },
		"refs ahead": func(m string) {
			os.WriteFile(filepath.Join(m, "refs/heads/main"), []byte(strings.Repeat("a", 40)+"\n"), 0o600)
		},
		"refs not a file": func(m string) {
			os.Remove(m + "/packed-refs")
			os.Mkdir(m+"/packed-refs", 0o700)
			os.WriteFile(m+"/packed-refs/x", nil, 0o600)
		},
		"packs truncated": func(m string) { each(t, m, ".pack", func(p string) { os.Truncate(p, 20) }) },
		"packs gone":      func(m string) { each(t, m, ".pack", func(p string) { os.Remove(p) }) },
		"indexes gone":    func(m string) { each(t, m, ".idx", func(p string) { os.Remove(p) }) },
		"config broken":   func(m string) { os.WriteFile(m+"/config", []byte("[core\n"), 0o600) },
		"head broken":     func(m string) { os.WriteFile(m+"/HEAD", []byte("x"), 0o600) },
	}
	ann.git(dir, "push", s.sshURL("shop"), "main")
	for name, f := range damage {
		t.Run(name, func(t *testing.T) {
			ann.git(t.TempDir(), "clone", "-q", s.sshURL("shop"), ".")
			mirrors, _ := filepath.Glob(filepath.Join(s.dir, "mirrors", "*", app+".git"))
			if len(mirrors) != 1 {
				t.Fatal(mirrors)
			}
			f(mirrors[0])
			last := ann.commit(dir, "ok "+name)
			ann.git(dir, "push", s.sshURL("shop"), "main")
			f(mirrors[0])
			clone := t.TempDir()
			ann.git(clone, "clone", "-q", s.sshURL("shop"), ".")
			if got := strings.TrimSpace(ann.git(clone, "rev-parse", "HEAD")); got != last {
				t.Error(got, last)
			}
			ann.git(clone, "fsck", "--full")
		})
	}
	for _, suffix := range []string{".pack", ".idx"} {
		t.Run("bytes flipped in "+suffix, func(t *testing.T) { // seen only when git stumbles: the next try works
			each(t, s.dir, suffix, func(p string) {
				data, _ := os.ReadFile(p)
				os.Chmod(p, 0o600)
				for i := 12; i < len(data)-20; i++ {
					data[i] ^= 0xff
				}
				os.WriteFile(p, data, 0o600)
			})
			eventually(t, "a clone works", func() bool {
				_, err := ann.try(t.TempDir(), "git", "clone", "-q", s.sshURL("shop"), ".")
				return err == nil
			})
		})
	}
}

// each calls f for the files below dir with the suffix.
func each(t *testing.T, dir, suffix string, f func(path string)) {
	t.Helper()
	found := false
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, suffix) {
			found = true
			f(path)
		}
		return nil
	})
	if !found {
		t.Fatal("no file ", suffix, " below ", dir)
	}
}

func TestSeveralProcessesTakePushesInTurn(t *testing.T) {
	w := newWorld(t)
	servers := []*server{w.server(), w.server()}
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	for i := range 6 {
		last := ann.commit(dir, fmt.Sprint("ok ", i))
		s, other := servers[i%2], servers[(i+1)%2]
		ann.git(dir, "push", s.sshURL("shop"), "main")
		if got := ann.git(dir, "ls-remote", other.httpURL(ann, "shop"), "main"); !strings.HasPrefix(got, last) {
			t.Error(i, got, last)
		}
	}
	if n := len(w.states(app)); n != 6 {
		t.Error(n, "builds")
	}
	// Both show the same host key: known_hosts has one line for each address.
	known, _ := os.ReadFile(filepath.Join(w.home, "known_hosts"))
	keys := map[string]bool{}
	for line := range strings.Lines(string(known)) {
		keys[strings.Fields(line)[2]] = true
	}
	if len(keys) != 1 {
		t.Error(string(known))
	}
}

func TestManyPacksBecomeOneAndUnneededOnesGo(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	other := w.server()
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	packs := func() int {
		r, err := w.api.Repo(context.Background(), app)
		if err != nil {
			t.Fatal(err)
		}
		return len(r.Packs)
	}
	ann.git(dir, "push", s.sshURL("shop"), "main:topic")
	ann.git(dir, "ls-remote", other.sshURL("shop")) // has a mirror from before
	for i := range 21 {
		ann.commit(dir, fmt.Sprint("ok ", i))
		ann.git(dir, "push", s.sshURL("shop"), "main:topic")
	}
	eventually(t, "the packs are compacted", func() bool { return packs() < 5 })
	for _, s := range []*server{s, other} {
		clone := t.TempDir()
		ann.git(clone, "clone", "-q", "-b", "topic", s.sshURL("shop"), ".")
		ann.git(clone, "fsck", "--full")
	}
	last := ann.commit(dir, "ok last")
	ann.git(dir, "push", other.sshURL("shop"), "main")
	if w.refs(app)["refs/heads/main"] != last {
		t.Error(w.refs(app))
	}

	blobs := w.blobs.Open(hoist.ComponentGit)
	count := func() (n int) {
		blobs.List(t.Context(), "repos/", func(hoist.BlobInfo) error { n++; return nil })
		return n
	}
	before := count()
	if err := git.Sweep(t.Context(), w.roles.Open(hoist.ComponentGit), blobs, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if after := count(); before < 22 || after != packs() {
		t.Error(before, "blobs, then", after, "for", packs(), "packs")
	}
	clone := t.TempDir()
	os.RemoveAll(s.dir)
	ann.git(clone, "clone", "-q", s.sshURL("shop"), ".")
	ann.git(clone, "fsck", "--full")
}

func TestMirrorsUsedLongestAgoGoWhenTheDiskIsFull(t *testing.T) {
	w := newWorld(t)
	big := func(dir string) {
		data := make([]byte, 300<<10)
		for i := range data {
			data[i] = byte(i * i >> 3)
		}
		copy(data, hoist.NewSecret())
		os.WriteFile(filepath.Join(dir, "big"), data, 0o644)
	}
	s := w.server(func(c *git.Config) { c.CacheLimit = 1 })
	ann := w.person("ann")
	for _, name := range []string{"one", "two"} {
		ann.app(name)
		dir := ann.work()
		big(dir)
		ann.commit(dir, "ok big")
		ann.git(dir, "push", s.sshURL(name), "main")
		ann.git(t.TempDir(), "clone", "-q", s.sshURL(name), ".") // brings the pack to disk
		ann.git(dir, "push", s.sshURL(name), "main:topic")
	}
	eventually(t, "mirrors are removed", func() bool { return size(filepath.Join(s.dir, "mirrors")) < 64<<10 })
	ann.git(t.TempDir(), "clone", "-q", s.sshURL("one"), ".")
}
