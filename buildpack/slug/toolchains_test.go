package slug_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist/buildpack/slug"
)

// cacheDir is shared by the tests that compile the standard library.
var cacheDir string

func TestMain(m *testing.M) {
	var err error
	if cacheDir, err = os.MkdirTemp("", "hoist-cache-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(cacheDir)
	os.Exit(code)
}

// online skips a test that needs a registry where there is none.
func online(t *testing.T) {
	t.Helper()
	if os.Getenv("HOIST_TEST_OFFLINE") != "" {
		t.Skip("HOIST_TEST_OFFLINE is set")
	}
}

const hello = `package main

import "fmt"

func main() { fmt.Println("hello") }
`

func TestGoApps(t *testing.T) {
	one := slug.Here{CacheDir: cacheDir, Dir: write(t, t.TempDir(), map[string]string{"go.mod": "module example.com/hello/v2\n\ngo 1.21\n", "main.go": hello})}
	c := compileHere(t, one).ok().says("-----> Go app detected", "-----> Using go1.", "Detected the following main packages to install:\n       example.com/hello/v2\n", "Default types for Go        -> web")
	if out, err := exec.Command(filepath.Join(c.dir, "bin/hello")).Output(); err != nil || string(out) != "hello\n" {
		t.Errorf("%s %v", out, err)
	}
	first, _ := os.ReadFile(c.path)
	if again, _ := os.ReadFile(compileHere(t, one).ok().path); string(first) != string(again) {
		t.Error("two builds of one source differ")
	}

	several := map[string]string{"go.mod": "// +heroku install ./cmd/...\nmodule example.com/x\n\ngo 1.21\n",
		"cmd/a/main.go": hello, "cmd/b/main.go": hello, "tool/main.go": hello, "Procfile": "web: bin/b\n"}
	c = compileHere(t, slug.Here{CacheDir: cacheDir, Dir: write(t, t.TempDir(), several)}).ok()
	if files := strings.Join(c.files(), " "); !strings.Contains(files, "bin/a bin/b") || strings.Contains(files, "bin/tool") {
		t.Errorf("%s", files)
	}
}

func TestGoAppsThatDoNotCompile(t *testing.T) {
	c := compileHere(t, slug.Here{CacheDir: cacheDir, Dir: write(t, t.TempDir(), map[string]string{"go.mod": "module x\n", "main.go": "package main\nfunc main() { x }\n"})})
	c.says("undefined: x")
	c.fails(slug.PhaseCompile, "Failed to compile the Go app")
	compileHere(t, slug.Here{CacheDir: cacheDir, Dir: write(t, t.TempDir(), map[string]string{"go.mod": "module x\n", "x.go": "package x\n"})}).fails(slug.PhaseCompile, "no main package")
	compileHere(t, slug.Here{CacheDir: cacheDir, Dir: write(t, t.TempDir(), map[string]string{"go.mod": "modul x\n", "x.go": "package x\n"})}).says("unknown directive: modul").fails(slug.PhaseCompile, "Failed to compile")
}

func TestGoModulesWithADependency(t *testing.T) {
	online(t)
	dir := write(t, t.TempDir(), map[string]string{
		"go.mod":  "module example.com/dep\n\ngo 1.21\n\nrequire golang.org/x/mod v0.41.0\n",
		"main.go": "package main\n\nimport (\n\t\"fmt\"\n\n\t\"golang.org/x/mod/semver\"\n)\n\nfunc main() { fmt.Println(semver.Major(\"v3.1.4\")) }\n",
	})
	sum, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"go.sum": string(sum)})
	mod, _ := os.ReadFile(filepath.Join(dir, "go.mod"))
	write(t, dir, map[string]string{"go.mod": strings.Replace(string(mod), "go 1.21", "go 1.26.0", 1)})
	cache := t.TempDir()
	if err := os.CopyFS(cache, os.DirFS(cacheDir)); err != nil {
		t.Fatal(err)
	}
	c := compileHere(t, slug.Here{Dir: dir, CacheDir: cache}).ok()
	if out, err := exec.Command(filepath.Join(c.dir, "bin/dep")).Output(); err != nil || string(out) != "v3\n" {
		t.Errorf("%s %v", out, err)
	}
	// With a warm cache no network is needed.
	compileHere(t, slug.Here{Dir: dir, CacheDir: cache, Environ: []string{"GOPROXY=off"}}).ok()
	// Vendored, neither.
	vendor := exec.Command("go", "mod", "vendor")
	vendor.Dir = dir
	if out, err := vendor.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	compileHere(t, slug.Here{Dir: dir, CacheDir: cacheDir, Environ: []string{"GOPROXY=off"}}).ok().says("Using the vendor directory")
}

func TestNodeApps(t *testing.T) {
	online(t)
	cache := t.TempDir()
	example := filepath.Join("..", "..", "examples", "node")
	c := compileHere(t, slug.Here{Dir: example, CacheDir: cache}).ok().says("-----> Node.js app detected", "npm ci", "Default types for Node.js   -> web")
	if !strings.Contains(c.read(".profile.d/node.sh"), "node_modules/.bin") || c.read("node_modules/picocolors/package.json") == "" {
		t.Error("no dependencies")
	}
	first, _ := os.ReadFile(c.path)
	if again, _ := os.ReadFile(compileHere(t, slug.Here{Dir: example, CacheDir: cache}).ok().path); string(first) != string(again) {
		t.Error("two builds of one source differ")
	}
}

func TestNodeBuildScriptsSeeConfigAndDevDependencies(t *testing.T) {
	online(t)
	c := compileHere(t, slug.Here{EnvDir: write(t, t.TempDir(), map[string]string{"API": "there"}), Dir: write(t, t.TempDir(), map[string]string{
		"package.json": `{"name": "x", "version": "1.0.0", "scripts": {"build": "node build.js > made"}, "devDependencies": {"picocolors": "1.1.1"}}`,
		"build.js":     "require('picocolors'); console.log(process.env.API, process.env.NODE_ENV)\n",
	})}).ok().says("No lock file", "-----> Running build", "-----> Pruning devDependencies", "package.json has no start script")
	if got := c.read("made"); got != "there production\n" {
		t.Errorf("%q", got)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "node_modules/picocolors")); err == nil {
		t.Error("devDependencies are in the slug")
	}
}

func TestNodeAppsThatFail(t *testing.T) {
	compileApp(t, map[string]string{"package.json": "{"}).fails(slug.PhaseCompile, "package.json")
	compileApp(t, map[string]string{"package.json": `{"engines": {"node": "nine"}}`}).fails(slug.PhaseCompile, "engines.node")
	compileApp(t, map[string]string{"package.json": `{"scripts": {"build": "exit 3"}}`}).fails(slug.PhaseCompile, "Failed to compile the Node.js app")
}
