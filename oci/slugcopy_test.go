package oci_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist/oci"
)

// A few kilobytes of squashfs that are 100 MB of files take no more of the machine than a copy may; where it is
// shared that is more than a dyno's disk, as a slug that is not copied takes nothing of that.
func TestACopiedSlugIsNoLargerThanItsDisk(t *testing.T) {
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "zeros"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(tree, "zeros"), 100<<20); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*oci.Engine){
		"shared":  oci.DisableIdmap,
		"bounded": func(e *oci.Engine) { oci.DisableIdmap(e); oci.CopyTo(e, 80<<20) },
		"each":    oci.DisableLayers,
	} {
		before := traces(t)
		e := newEngine(t)
		change(e)
		s := spec("true")
		s.SlugPath = squash(t, tree)
		err := e.Start(t.Context(), s)
		if fits := name == "shared"; fits && err != nil || !fits && (err == nil || !strings.Contains(err.Error(), "do not fit on the disk of")) {
			t.Errorf("%s: got %v", name, err)
		}
		if err := e.Teardown(t.Context()); err != nil {
			t.Error(err)
		}
		same(t, before)
	}
}

// A squashfs can say of a symbolic link that it is a directory, which leads who goes into it out of the slug.
func TestALinkThatIsSaidToBeADirectoryLeadsNowhere(t *testing.T) {
	tree, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(tree, "astray")); err != nil {
		t.Fatal(err)
	}
	image := squash(t, tree, "-noI")
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	const directory, link = "\x01\x00", "\x03\x00" // before the name and its length less one
	name := "\x05\x00astray"
	if bytes.Count(data, []byte(link+name)) != 1 {
		t.Fatal("no such entry in the image")
	}
	if err := os.WriteFile(image, bytes.Replace(data, []byte(link+name), []byte(directory+name), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*oci.Engine){"shared": oci.DisableIdmap, "each": oci.DisableLayers} {
		e := newEngine(t)
		change(e)
		s := spec("ls -A; readlink astray; cat astray/secret || echo none")
		s.SlugPath = image
		if out, exit := run(t, e, s); !strings.HasPrefix(out, "astray\n"+outside+"\n") || !strings.HasSuffix(out, "none\n") {
			t.Errorf("%s: got %q, %+v", what, out, exit)
		}
	}
}
