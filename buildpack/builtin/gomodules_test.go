package builtin

import (
	"archive/zip"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/module"
)

// modules is a module cache, as the go command leaves it after a build.
type modules struct {
	t   *testing.T
	dir string
}

func (m modules) write(name, text string) {
	m.t.Helper()
	file := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// zip writes a module's zip file, and returns its sum.
func (m modules) zip(file, path, goMod, source string) string {
	m.t.Helper()
	m.write(file, "")
	f, err := os.Create(filepath.Join(m.dir, file))
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for name, text := range map[string]string{"go.mod": goMod, "it.go": source} {
		w, err := z.Create(path + "@v1.0.0/" + name)
		if err != nil {
			m.t.Fatal(err)
		}
		fmt.Fprint(w, text)
	}
	if err := z.Close(); err != nil {
		m.t.Fatal(err)
	}
	return m.sum(file)
}

func (m modules) sum(file string) string {
	m.t.Helper()
	sum, err := goSumOf(filepath.Join(m.dir, file))
	if err != nil {
		m.t.Fatal(err)
	}
	return sum
}

// add adds a module with all that belongs to it, and returns its lines of a go.sum.
func (m modules) add(path string) string {
	m.t.Helper()
	escaped, err := module.EscapePath(path)
	if err != nil {
		m.t.Fatal(err)
	}
	file, goMod := "cache/download/"+escaped+"/@v/v1.0.0", "module "+path+"\n"
	m.write(file+".mod", goMod)
	m.write(file+".info", `{"Version":"v1.0.0"}`)
	m.write(escaped+"@v1.0.0/it.go", "package it // unpacked, and changed\n")
	sum := m.zip(file+".zip", path, goMod, "package it\n")
	m.write(file+".ziphash", "h1:of what it was once")
	return fmt.Sprintf("%s v1.0.0 %s\n%s v1.0.0/go.mod %s\n", path, sum, path, m.sum(file+".mod"))
}

// given lists what a build cache holds.
func given(t *testing.T, cacheDir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(cacheDir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(cacheDir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A build that has its modules from a module cache needs no network.
func TestABuildFindsTheModulesThatItIsGiven(t *testing.T) {
	m := modules{t, t.TempDir()}
	goSum := m.add("example.com/One") + m.add("example.com/two")
	cacheDir := t.TempDir()
	if there, named, err := GoModules(cacheDir, m.dir, []byte(goSum)); there != 2 || named != 2 || err != nil {
		t.Fatalf("%d of %d, %v", there, named, err)
	}
	app := modules{t, t.TempDir()}
	app.write("go.mod", "module app\n\ngo 1.21\n\nrequire (\n\texample.com/One v1.0.0\n\texample.com/two v1.0.0\n)\n")
	app.write("go.sum", goSum)
	app.write("main.go", "package main\n\nimport (\n\t_ \"example.com/One\"\n\t_ \"example.com/two\"\n)\n\nfunc main() {}\n")
	cmd := exec.Command("go", "list", "-deps", ".")
	cmd.Dir = app.dir
	cmd.Env = append(os.Environ(), "GOMODCACHE="+moduleCache(cacheDir), "GOPROXY=off", "GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=-modcacherw")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "example.com/One\nexample.com/two\n") || strings.Contains(string(out), "downloading") {
		t.Errorf("%v\n%s", err, out)
	}
}

// What is not, bit for bit, what go.sum says is left to the build, as is what is missing; and nothing
// but downloads is taken.
func TestOnlyModulesThatHaveTheirSumsAreGiven(t *testing.T) {
	m := modules{t, t.TempDir()}
	goSum := m.add("example.com/good") + m.add("example.com/changed") + m.add("example.com/linked") +
		"example.com/missing v1.0.0 h1:AAAA\nexample.com/missing v1.0.0/go.mod h1:AAAA\n" +
		"example.com/../../../escaped v1.0.0 h1:AAAA\nnot a line of a go.sum\n"
	m.add("example.com/unnamed")
	changed := "cache/download/example.com/changed/@v/v1.0.0"
	m.zip(changed+".zip", "example.com/changed", "module example.com/changed\n", "package it // changed\n")
	m.write(changed+".mod", "module example.com/other\n")
	linked := filepath.Join(m.dir, "cache/download/example.com/linked/@v/v1.0.0.zip")
	outside := filepath.Join(t.TempDir(), "outside.zip")
	if err := os.Rename(linked, outside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, linked); err != nil {
		t.Fatal(err)
	}
	cacheDir := t.TempDir()
	there, named, err := GoModules(cacheDir, m.dir, []byte(goSum))
	if there != 1 || named != 4 || err != nil {
		t.Errorf("%d of %d, %v", there, named, err)
	}
	const at = "go/mod/cache/download/example.com/"
	if got, want := given(t, cacheDir), []string{at + "good/@v/v1.0.0.mod", at + "good/@v/v1.0.0.zip", at + "good/@v/v1.0.0.ziphash", at + "linked/@v/v1.0.0.mod"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if _, _, err := GoModules(t.TempDir(), filepath.Join(m.dir, "none"), []byte(goSum)); err == nil {
		t.Error("there is no such module cache")
	}
}
