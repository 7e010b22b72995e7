package archive_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/buildpack/archive"
)

// tree is a directory of the test, changed like a shell would.
type tree struct {
	t   *testing.T
	dir string
}

func (d tree) path(name string) string { return filepath.Join(d.dir, name) }

func (d tree) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d tree) write(name, text string) {
	d.t.Helper()
	d.must(os.MkdirAll(filepath.Dir(d.path(name)), 0o755))
	d.must(os.WriteFile(d.path(name), []byte(text), 0o644))
}

func (d tree) take() archive.Snapshot {
	d.t.Helper()
	s, err := archive.Take(d.dir)
	d.must(err)
	return s
}

// pack returns all of the tree.
func (d tree) pack() []byte {
	d.t.Helper()
	var buf bytes.Buffer
	d.must(archive.Create(&buf, d.dir, 1<<20))
	return buf.Bytes()
}

// changes returns what has changed.
func (d tree) changes(since archive.Snapshot, base string) []byte {
	d.t.Helper()
	var buf bytes.Buffer
	d.must(archive.CreateChanges(&buf, d.dir, since.ChangesTo(d.take()), base, 1<<20))
	return buf.Bytes()
}

// unpack makes another tree of an archive.
func unpack(t *testing.T, text []byte) (tree, archive.Snapshot) {
	t.Helper()
	d := tree{t, filepath.Join(t.TempDir(), "x")}
	s, err := archive.ExtractSnapshot(bytes.NewReader(text), d.dir, limits)
	d.must(err)
	return d, s
}

// same compares two trees by what is to be seen in them.
func same(t *testing.T, a, b tree) {
	t.Helper()
	list := func(d tree) map[string]string {
		files := map[string]string{}
		d.must(filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
			d.must(err)
			info, err := os.Lstat(path)
			d.must(err)
			rel, _ := filepath.Rel(d.dir, path)
			text := info.Mode().String()
			if link, err := os.Readlink(path); err == nil {
				text = "link to " + link
			} else if !e.IsDir() {
				content, err := os.ReadFile(path)
				d.must(err)
				text += info.ModTime().Round(time.Second).UTC().String() + string(content)
			}
			files[rel] = text
			return nil
		}))
		return files
	}
	one, other := list(a), list(b)
	if maps.Equal(one, other) {
		return
	}
	for name, text := range one {
		if other[name] != text {
			t.Errorf("%s: %q and %q", name, text, other[name])
		}
	}
	for name, text := range other {
		if _, there := one[name]; !there {
			t.Errorf("%s: %q in the second only", name, text)
		}
	}
}

// many is a tree with one of each kind.
func many(t *testing.T) tree {
	d := tree{t, t.TempDir()}
	for _, name := range []string{"same", "changed", "quietly", "touched", "mode", "gone", "dir/same", "dir/gone", "dir-gone/1", "dir-gone/2/3", "file-to-dir", "dir-to-file/1", "file-to-link"} {
		d.write(name, "content of "+name)
	}
	d.must(os.Mkdir(d.path("empty"), 0o755))
	d.must(os.Symlink("same", d.path("link")))
	d.must(os.Symlink("same", d.path("link-to-file")))
	return d
}

func (d tree) change() {
	old, err := os.Stat(d.path("quietly"))
	d.must(err)
	d.write("changed", "another content")
	d.write("quietly", "CONTENT of quietly") // as long, and at the same time
	d.must(os.Chtimes(d.path("quietly"), old.ModTime(), old.ModTime()))
	d.must(os.Chtimes(d.path("touched"), time.Unix(1e9, 0), time.Unix(1e9, 0)))
	d.must(os.Chmod(d.path("mode"), 0o755))
	for _, name := range []string{"gone", "dir/gone", "dir-gone", "file-to-dir", "dir-to-file", "file-to-link", "link", "link-to-file", "empty"} {
		d.must(os.RemoveAll(d.path(name)))
	}
	d.write("file-to-dir/1", "now below")
	d.write("dir-to-file", "now a file")
	d.write("link-to-file", "now a file")
	d.write("new/dir/file", "new")
	d.must(os.Symlink("dir", d.path("file-to-link")))
	d.must(os.Symlink("dir/same", d.path("link")))
	d.must(os.MkdirAll(d.path("new-empty"), 0o700))
}

func TestASnapshotIsTheSameOfAnArchiveAndOfWhatItUnpacksTo(t *testing.T) {
	d, extracted := unpack(t, many(t).pack())
	if now := d.take(); !maps.Equal(now, extracted) {
		t.Errorf("%v\n%v", now, extracted)
	}
	if c := extracted.ChangesTo(d.take()); c.Size() != 0 {
		t.Errorf("%+v", c)
	}
}

func TestChangesMakeOneStateOfTheOther(t *testing.T) {
	whole := many(t).pack()
	d, since := unpack(t, whole)
	d.change()
	text := d.changes(since, "1")
	again, held := unpack(t, whole)
	held, err := archive.ExtractChanges(bytes.NewReader(text), again.dir, "1", held, limits)
	if err != nil {
		t.Fatal(err)
	}
	same(t, d, again)
	if now := again.take(); !maps.Equal(now, held) {
		t.Errorf("%v\n%v", now, held)
	}
	// Changes to what was changed, as each build after the second makes them.
	again.write("dir/more", "more")
	again.must(os.RemoveAll(again.path("new")))
	text = again.changes(since, "1")
	third, held := unpack(t, whole)
	if _, err := archive.ExtractChanges(bytes.NewReader(text), third.dir, "1", held, limits); err != nil {
		t.Fatal(err)
	}
	same(t, again, third)
}

func TestChangesHoldOnlyWhatChanged(t *testing.T) {
	d, since := unpack(t, many(t).pack())
	d.must(os.Chtimes(d.path("touched"), time.Unix(1e9, 0), time.Unix(1e9, 0)))
	if c := since.ChangesTo(d.take()); c.Size() != 0 {
		t.Errorf("%+v", c)
	}
	d.write("new", "12345")
	if c := since.ChangesTo(d.take()); c.Size() != 5 {
		t.Errorf("%+v", c)
	}
	if all := d.take().Size(); all != since.Size()+5 {
		t.Error(all, since.Size())
	}
	d.must(os.Remove(d.path("same"))) // "content of same"
	d.write("dir/same", "content")    // of "content of dir/same"
	if c := since.ChangesTo(d.take()); c.Size() != 5+15+19+7 {
		t.Errorf("%+v", c)
	}
}

func TestChangesToSomethingElseDoNothing(t *testing.T) {
	whole := many(t).pack()
	d, since := unpack(t, whole)
	d.change()
	for what, text := range map[string][]byte{"another": d.changes(since, "2"), "a whole": whole} {
		again, held := unpack(t, whole)
		_, err := archive.ExtractChanges(bytes.NewReader(text), again.dir, "1", held, limits)
		if !errors.Is(err, archive.ErrOtherBase) {
			t.Errorf("%s: %v", what, err)
		}
		if now := again.take(); !maps.Equal(now, held) {
			t.Errorf("%s: %v\n%v", what, now, held)
		}
	}
}

func TestHalfOfTheChangesIsAnError(t *testing.T) {
	whole := many(t).pack()
	d, since := unpack(t, whole)
	d.change()
	text := d.changes(since, "1")
	for n := 1; n < len(text); n += max(1, len(text)/50) {
		again, held := unpack(t, whole)
		if _, err := archive.ExtractChanges(bytes.NewReader(text[:n]), again.dir, "1", held, limits); err == nil || errors.Is(err, archive.ErrOtherBase) {
			t.Errorf("%d of %d bytes: %v", n, len(text), err)
		}
	}
}

func TestChangesAreBounded(t *testing.T) {
	d, since := unpack(t, many(t).pack())
	d.write("large", strings.Repeat("x", 2<<20))
	err := archive.CreateChanges(new(bytes.Buffer), d.dir, since.ChangesTo(d.take()), "1", 100)
	if !errors.Is(err, archive.ErrTooLarge) {
		t.Error(err)
	}
	text := d.changes(since, "1")
	again, held := unpack(t, many(t).pack())
	_, err = archive.ExtractChanges(bytes.NewReader(text), again.dir, "1", held, limits)
	if err == nil || !strings.Contains(err.Error(), "more than 1 MB") {
		t.Error(err)
	}
}

func FuzzExtractChanges(f *testing.F) {
	head := entry{kind: 'g', name: "changes", records: map[string]string{"HOIST.base": "1"}}
	mark := func(name, change string) entry {
		return entry{name: name, records: map[string]string{"HOIST.change": change}}
	}
	f.Add(tarOf(head, mark("a/b", "removed"), mark("l", "touched"), entry{name: "n", body: "x"}))
	f.Add(tarOf(head, mark("../x", "removed"), mark("l/../../x", "touched"), mark(".", "removed")))
	f.Add(tarOf(head, entry{name: "l", link: "..", kind: '2'}, mark("l/x", "removed"), mark("out/x", "removed"), mark("out", "touched")))
	f.Add(tarOf(mark("a", "removed")))
	f.Fuzz(func(t *testing.T, text []byte) {
		top := tree{t, t.TempDir()}
		top.write("kept", "kept")
		d := tree{t, top.path("x")}
		d.write("a/b", "1")
		d.must(os.Symlink("a", d.path("l")))
		d.must(os.Symlink(top.dir, d.path("out")))
		before, err := os.Stat(top.path("kept"))
		d.must(err)
		archive.ExtractChanges(bytes.NewReader(text), d.dir, "1", d.take(), limits)
		list, _ := os.ReadDir(top.dir)
		after, err := os.Stat(top.path("kept"))
		if len(list) != 2 || err != nil || !after.ModTime().Equal(before.ModTime()) {
			t.Errorf("it worked outside: %v %v", list, err)
		}
	})
}
