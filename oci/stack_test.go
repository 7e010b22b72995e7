package oci_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/oci"
)

// tinyStack is a root file system with bash and cat.
func tinyStack(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "stack")
	files := []string{"/bin/bash", "/bin/cat"}
	out, err := exec.Command("ldd", files...).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") && !strings.HasSuffix(word, ":") {
			files = append(files, word)
		}
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/os-release"), []byte("NAME=tiny\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestStackOfItsOwn(t *testing.T) {
	root := tinyStack(t)
	image := root + ".squashfs"
	if out, err := exec.Command("mksquashfs", root, image, "-all-root", "-quiet", "-no-progress").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, stack := range []string{root, image} {
		e := newEngine(t, func(c *oci.Config) { c.Stack, c.Binary = stack, "/bin/true" })
		out, exit := run(t, e, spec("cat /etc/os-release; echo x > /x || echo readonly; [ -x /usr/local/bin/hoist-compile ] && echo ~dyno"))
		if !strings.HasPrefix(out, "NAME=tiny\n") || !strings.HasSuffix(out, "readonly\n/app\n") || exit.Code != 0 {
			t.Errorf("%s: got %q, %+v", stack, out, exit)
		}
	}
}

func TestTheHostsStackSaysWhichPackagesAreInIt(t *testing.T) {
	if _, err := exec.LookPath("dpkg-query"); err != nil {
		t.Skip("not a distribution with dpkg")
	}
	out, exit := run(t, newEngine(t), spec(`dpkg-query -W -f '${Status}\n' bash; : >> /var/lib/dpkg/status || echo readonly`))
	if !strings.HasPrefix(out, "install ok installed\n") || !strings.HasSuffix(out, "readonly\n") {
		t.Errorf("got %q, %+v", out, exit)
	}
}

func TestSlugOnKernelsThatCannotIdmapIt(t *testing.T) {
	files := map[string]string{"dir/hello": "world\n", "big": strings.Repeat("x", 24<<20)}
	for i := range 1000 {
		files[fmt.Sprintf("many/%d", i)] = "small"
	}
	image := slug(t, files)
	for name, change := range map[string]func(*oci.Engine){
		"squashfs":               oci.DisableIdmap,
		"squashfs, nor overlays": oci.DisableLayers,
	} {
		t.Run(name, func(t *testing.T) {
			before := traces(t)
			e, err := oci.New(config(t))
			if err != nil {
				t.Fatal(err)
			}
			change(e)
			s := spec("ls; cat dir/hello; ls many | wc -l; stat -c %U . dir dir/hello big | sort -u; echo x >> dir/hello && tail -n 1 dir/hello; sleep 1")
			s.SlugPath = image
			// Two at once, and neither sees what the other writes.
			other := s
			other.ID = hoist.NewID()
			start(t, e, other)
			if out, exit := run(t, e, s); out != "big\ndir\nmany\nworld\n1000\ndyno\nx\n" || exit.Code != 0 {
				t.Errorf("got %q, %+v", out, exit)
			}
			if out, exit := watch(t, e, other.ID); out.String() != "big\ndir\nmany\nworld\n1000\ndyno\nx\n" || exit.Code != 0 {
				t.Errorf("beside it, got %q, %+v", out, exit)
			}
			if err := e.Teardown(t.Context()); err != nil {
				t.Fatal(err)
			}
			same(t, before)
		})
	}
}

// A copy is made once, and takes nothing of the dynos' own disks.
func TestSlugCopyIsShared(t *testing.T) {
	e := newEngine(t)
	oci.DisableIdmap(e)
	s := spec("sleep 100")
	s.SlugPath = slug(t, map[string]string{"big": strings.Repeat("x", 40<<20)})
	start(t, e, s)
	s.ID, s.Command = hoist.NewID(), "head -c 50M /dev/zero > mine && echo fits"
	if out, _ := run(t, e, s); out != "fits\n" {
		t.Errorf("the slug takes the dyno's disk: %q", out)
	}
	copies := 0
	backing, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, path := range backing {
		if file, err := os.ReadFile(path); err == nil && strings.Contains(string(file), "slug-0.ext4 (deleted)") && strings.Contains(string(file), filepath.Dir(t.TempDir())) {
			copies++
		}
	}
	if copies != 1 {
		t.Errorf("there are %d copies", copies)
	}
}
