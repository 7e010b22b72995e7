package oci_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
	e := newEngine(t)
	oci.DisableIdmap(e)
	s := spec("cat dir/hello; stat -c %U . dir dir/hello | sort -u; echo x >> dir/hello && echo writable")
	s.SlugPath = slug(t, map[string]string{"dir/hello": "world\n"})
	if out, exit := run(t, e, s); out != "world\ndyno\nwritable\n" || exit.Code != 0 {
		t.Fatalf("got %q, %+v", out, exit)
	}
}
