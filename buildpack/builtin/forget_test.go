package builtin

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/hoist-sh/hoist/buildpack"
)

// filled is a build whose cache holds these files.
func filled(t *testing.T, files ...string) *buildpack.Build {
	t.Helper()
	b := &buildpack.Build{CacheDir: t.TempDir()}
	for _, name := range files {
		path := filepath.Join(b.CacheDir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func holds(t *testing.T, b *buildpack.Build, want ...string) {
	t.Helper()
	var got []string
	filepath.WalkDir(b.CacheDir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(b.CacheDir, path)
			got = append(got, name)
		}
		return nil
	})
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the cache holds %q, want %q", got, want)
	}
}

func TestOtherToolchainsOfGoAreForgotten(t *testing.T) {
	toolchain := func(version string) []string {
		version = "v0.0.1-" + version + "." + runtime.GOOS + "-" + runtime.GOARCH
		return []string{"go/mod/golang.org/toolchain@" + version + "/bin/go", "go/mod/cache/download/golang.org/toolchain/@v/" + version + ".zip"}
	}
	others := []string{"go/build/00/x", "go/mod/golang.org/x/mod@v0.1.0/x", "go/mod/cache/download/golang.org/toolchain/@v/list"}
	b := filled(t, slices.Concat(others, toolchain("go1.20"), toolchain("go1.20.1"), toolchain("go1.26.0"))...)
	g := &goBuild{Build: b}
	g.forgetOtherToolchains("go1.20")
	holds(t, b, slices.Concat(others, toolchain("go1.20"))...)
	g.forgetOtherToolchains("")
	holds(t, b, others...)
}

func TestOtherToolsOfNodeAreForgotten(t *testing.T) {
	b := filled(t, "npm/x", "tools/yarn@1/x", "tools/@yarnpkg_cli-dist@4/x")
	n := &nodeBuild{Build: b}
	n.forgetOthers("tools", "yarn@1")
	holds(t, b, "npm/x", "tools/yarn@1/x")
	n.forgetOthers("tools", "")
	n.forgetOthers("node", "")
	holds(t, b, "npm/x")
}
