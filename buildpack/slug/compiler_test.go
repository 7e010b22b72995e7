package slug_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/slug"
)

// write makes a directory of files; those that start with #! are executable.
func write(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// repository makes a git repository of a buildpack and returns its URL.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := write(t, t.TempDir(), files)
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-qm", "A buildpack"},
		{"checkout", "-qb", "next"}, {"commit", "-q", "--allow-empty", "-m", "Next"},
	} {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	return "file://" + dir
}

// compiled is what hoist-compile made of an app.
type compiled struct {
	t    *testing.T
	dir  string // the unpacked slug
	out  string
	err  error
	path string
}

// compileApp runs hoist-compile as in a dyno.
func compileApp(t *testing.T, files map[string]string, packs ...string) compiled {
	t.Helper()
	return compileHere(t, slug.Here{Dir: write(t, t.TempDir(), files), Buildpacks: packs})
}

func compileHere(t *testing.T, h slug.Here) compiled {
	t.Helper()
	var buf bytes.Buffer
	tmp := t.TempDir()
	h.Out = buildpack.NewOutput(&buf)
	h.Output = filepath.Join(tmp, "slug.squashfs")
	h.Environ = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + tmp, "STACK=hoist-1",
		"XDG_CONFIG_HOME=" + cacheDir, // the go command leaves a process that writes its counters there
		"TMPDIR=" + tmp, "SOURCE_VERSION=4ac0ffee"}, h.Environ...)
	err := h.Run(context.Background())
	c := compiled{t: t, out: buf.String(), err: err, path: h.Output, dir: filepath.Join(tmp, "slug")}
	if err == nil {
		if out, err := exec.Command("unsquashfs", "-q", "-n", "-d", c.dir, h.Output).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return c
}

func (c compiled) ok() compiled {
	c.t.Helper()
	if c.err != nil {
		c.t.Fatalf("%v; output:\n%s", c.err, c.out)
	}
	return c
}

func (c compiled) says(texts ...string) compiled {
	c.t.Helper()
	for _, text := range texts {
		if !strings.Contains(c.out, text) {
			c.t.Errorf("the output lacks %q:\n%s", text, c.out)
		}
	}
	return c
}

func (c compiled) fails(phase slug.Phase, text string) {
	c.t.Helper()
	var e *slug.Error
	if !errors.As(c.err, &e) || e.Phase != phase || !strings.Contains(e.Error(), text) {
		c.t.Errorf("%v (%T), want %s: %q; output:\n%s", c.err, c.err, phase, text, c.out)
	}
}

func (c compiled) files() (names []string) {
	filepath.WalkDir(c.dir, func(path string, d os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(c.dir, path); err == nil && rel != "." {
			names = append(names, rel)
		}
		return nil
	})
	return names
}

func (c compiled) read(name string) string {
	text, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		c.t.Error(err)
	}
	return string(text)
}

func TestAProcfileIsEnough(t *testing.T) {
	c := compileApp(t, map[string]string{"Procfile": "worker: ./work\nweb: ./serve\n", "serve": "#!/bin/sh\n", "data": "x"}).ok()
	c.says("-----> Procfile app detected\n", "-----> Discovering process types\n       Procfile declares types     -> web, worker\n", "-----> Compressing... done, 4K\n")
	if st, err := os.Stat(filepath.Join(c.dir, "serve")); err != nil || st.Mode() != 0o755 {
		t.Errorf("%v %v", st.Mode(), err)
	}
}

func TestStaticSites(t *testing.T) {
	compileApp(t, map[string]string{"index.html": "hello"}).ok().says("Static HTML app detected", "Default types for Static HTML -> web")
	compileApp(t, map[string]string{"public/index.html": "hello"}).ok().says("Serving public with hoist-static")
	compileApp(t, map[string]string{"static.json": `{"root": "dist"}`, "dist/a.html": ""}).ok().says("Serving dist with hoist-static")
	compileApp(t, map[string]string{"static.json": `{"headers": {}, "proxies": {}}`, "public_html/index.html": "hello", "index.html": ""}).ok().
		says("Serving public_html with hoist-static", "static.json: these settings are not supported and have no effect: headers, proxies")
	compileApp(t, map[string]string{"static.json": `{"basic_auth": true}`, "index.html": "hello"}).fails(slug.PhaseCompile, "basic_auth is not supported")
	compileApp(t, map[string]string{"static.json": `{"root": "dist"}`}).fails(slug.PhaseCompile, "not there")
	compileApp(t, map[string]string{"static.json": `{"root": "../.."}`}).fails(slug.PhaseCompile, "directory of the app")
}

func TestUnknownAppsGetAHint(t *testing.T) {
	compileApp(t, map[string]string{"main.zig": ""}).fails(slug.PhaseDetect, "No default language could be detected for this app.\nHINT:")
}

func TestATypoInTheProcfileFailsBeforeTheWork(t *testing.T) {
	c := compileApp(t, map[string]string{"Procfile": "web bin/x", "package.json": "{}"})
	c.fails(slug.PhasePack, "Procfile line 1")
	if strings.Contains(c.out, "detected") {
		t.Errorf("%s", c.out)
	}
}

func TestSlugignore(t *testing.T) {
	c := compileApp(t, map[string]string{
		"Procfile": "web: x", ".slugignore": "# comment\n*.psd\n/docs\nspec/\nsrc/**/fixtures\n!keep\n",
		"a.psd": "", "img/b.psd": "", "docs/x": "", "sub/docs/x": "", "sub/spec/x": "", "src/a/b/fixtures/x": "", "keep": "", ".git/HEAD": "", "x/.gitmodules": "",
	}).ok().says(`"!keep" is not a pattern`)
	want := []string{".slugignore", "Procfile", "img", "keep", "src", "src/a", "src/a/b", "sub", "sub/docs", "sub/docs/x", "x"}
	if got := c.files(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// first is a buildpack that shows its contract and exports to the next.
var first = map[string]string{
	"bin/detect": "#!/bin/sh\n[ -f \"$1/app.first\" ] && echo First\n",
	"bin/compile": `#!/bin/bash
set -e
echo "-----> args $#: $(cat $3/GREETING) stack=$STACK version=$SOURCE_VERSION config=${GREETING-unset}"
echo "$(cat $2/count 2>/dev/null)x" > $2/count
echo "-----> built $(cat $2/count)"
mkdir -p $1/.profile.d && echo 'export FIRST=1' > $1/.profile.d/first.sh
echo "export FROM_FIRST='two words'; export PATH=/first:\$PATH; NOT=exported" > $(dirname $0)/../export
`,
	"bin/release": "#!/bin/sh\nprintf -- '---\\ndefault_process_types:\\n  web: first\\n'\n",
}

var second = map[string]string{
	"bin/detect": "#!/bin/sh\necho Second\n",
	"bin/compile": `#!/bin/bash
echo "-----> exported: $FROM_FIRST ${PATH%%:*} ${NOT-unset}"
echo made > $1/made
`,
	"bin/release": "#!/bin/sh\nprintf -- '---\\nconfig_vars:\\n  A: b\\ndefault_process_types:\\n  web: second -p $PORT\\n  console: irb\\n'\n",
}

func TestBuildpacksFromGitInOrder(t *testing.T) {
	one, two := repository(t, first), repository(t, second)+"#next"
	env, cache := write(t, t.TempDir(), map[string]string{"GREETING": "hello"}), t.TempDir()
	app := write(t, t.TempDir(), map[string]string{"app.first": "", "Procfile": "web: mine\n"})
	for _, count := range []string{"x", "xx"} {
		c := compileHere(t, slug.Here{Dir: app, EnvDir: env, CacheDir: cache, Buildpacks: []string{one, two}}).ok().says(
			"-----> First app detected", "args 3: hello stack=hoist-1 version=4ac0ffee config=unset", "built "+count+"\n",
			"-----> Second app detected", "exported: two words /first unset",
			"Procfile declares types     -> web\n", "Default types for Second    -> console, web\n")
		if c.read("made") != "made\n" || c.read(".profile.d/first.sh") == "" {
			t.Error("the slug lacks what the buildpacks made")
		}
	}
}

func TestABuildpackFromATarball(t *testing.T) {
	src := write(t, t.TempDir(), map[string]string{
		"pack-1.0/bin/detect": second["bin/detect"], "pack-1.0/bin/compile": second["bin/compile"], "pack-1.0/bin/release": second["bin/release"]})
	tgz := filepath.Join(t.TempDir(), "pack.tgz")
	if out, err := exec.Command("tar", "-czf", tgz, "-C", src, "pack-1.0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	compileApp(t, map[string]string{"x": ""}, "file://"+tgz).ok().says("-----> Second app detected", "Default types for Second    -> console, web")
	compileApp(t, map[string]string{"Procfile": "web: x"}, "heroku/procfile", "file://"+tgz).ok().says("1. heroku/procfile", "-----> Procfile app detected")
}

func TestBuildpacksThatFail(t *testing.T) {
	app := map[string]string{"x": ""}
	compileApp(t, app, repository(t, first)).fails(slug.PhaseDetect, "App not compatible with buildpack: file://")
	compileApp(t, app, "hoist/go").fails(slug.PhaseDetect, "App not compatible with buildpack: hoist/go")
	compileApp(t, app, "someone/thing").fails(slug.PhaseFetch, "neither a built-in buildpack nor a URL")
	compileApp(t, app, "file:///nonexistent/pack.git").fails(slug.PhaseFetch, "could not fetch the buildpack")
	compileApp(t, app, "ext::sh -c x").fails(slug.PhaseFetch, "")
	compileApp(t, app, repository(t, map[string]string{"README": ""})).fails(slug.PhaseFetch, "no bin/compile")
	failing := map[string]string{"bin/detect": "#!/bin/sh\necho Sad\n", "bin/compile": "#!/bin/sh\necho ' !     no luck' >&2\nexit 7\n"}
	c := compileApp(t, app, repository(t, failing)).says(" !     no luck\n")
	c.fails(slug.PhaseCompile, "exit status 7")
	garbage := map[string]string{"bin/detect": "#!/bin/sh\necho Odd\n", "bin/compile": "#!/bin/sh\n", "bin/release": "#!/bin/sh\necho '{'\n"}
	compileApp(t, app, repository(t, garbage)).fails(slug.PhaseCompile, "no valid YAML")
}

func TestThePasswordOfABuildpackIsNotShown(t *testing.T) {
	for _, url := range []string{"https://me:hidden@127.0.0.1:1/x.git", "https://hidden@127.0.0.1:1/x.git", "https://hidden@127.0.0.1:1/x.tgz",
		"https://me:hidden/@127.0.0.1:1/x.git", "file://hidden@" + strings.TrimPrefix(repository(t, first), "file://")} {
		for _, packs := range [][]string{{url}, {"hoist/procfile", url}} {
			c := compileApp(t, map[string]string{"Procfile": "web: x"}, packs...).says("://xxxxx@")
			if c.err == nil || strings.Contains(c.out+c.err.Error(), "hidden") {
				t.Errorf("%s: %v; output:\n%s", url, c.err, c.out)
			}
		}
	}
}

func TestTheNameOfABuildpackIsALineOfText(t *testing.T) {
	compileApp(t, map[string]string{"Procfile": "web: x"}, repository(t, map[string]string{
		"bin/detect": "#!/bin/sh\nprintf 'O\\0d\\033d\\r\\nmore\\n'\n", "bin/compile": "#!/bin/sh\n"})).ok().says("-----> Odd app detected\n")
}

func TestAConfigVarOfTheDynoReachesTheBuild(t *testing.T) {
	app := write(t, t.TempDir(), map[string]string{"app.first": ""})
	h := slug.Here{Dir: app, Buildpacks: []string{repository(t, first)}, Environ: []string{"DYNO=run.1", "GREETING=from the dyno"}}
	compileHere(t, h).ok().says("args 3: from the dyno")
}

// In a dyno the programs of the app's slug come first in PATH.
func TestProgramsOfTheAppDoNotCompileIt(t *testing.T) {
	dir := write(t, t.TempDir(), map[string]string{"bin/go": "#!/bin/sh\nexit 9\n", "Procfile": "web: x"})
	pack := repository(t, map[string]string{"bin/detect": "#!/bin/sh\necho Own\n", "bin/compile": "#!/bin/sh\necho \"PATH is $PATH\"\n"})
	path := os.Getenv("PATH")
	c := compileHere(t, slug.Here{Dir: dir, Buildpacks: []string{pack}, Environ: []string{"PATH=" + dir + "/bin:" + dir + ":" + dir + "-not:" + path}})
	c.ok().says("PATH is " + dir + "-not:" + path + "\n")
}

func TestTheSameSourceMakesTheSameSlug(t *testing.T) {
	files := map[string]string{"Procfile": "web: x", "bin/a": "#!/bin/sh\n", "lib/b/c": strings.Repeat("text ", 1e5), "d": ""}
	var slugs [][]byte
	for i := range 2 {
		dir := write(t, t.TempDir(), files)
		os.Symlink("/app/d", filepath.Join(dir, "link"))
		if i > 0 { // made at another time, in another order
			exec.Command("touch", "-d", "2001-01-01", filepath.Join(dir, "lib/b/c"), dir).Run()
			os.Remove(filepath.Join(dir, "d"))
			os.WriteFile(filepath.Join(dir, "d"), nil, 0o644)
		}
		c := compileHere(t, slug.Here{Dir: dir}).ok()
		text, err := os.ReadFile(c.path)
		if err != nil {
			t.Fatal(err)
		}
		slugs = append(slugs, text)
	}
	if !bytes.Equal(slugs[0], slugs[1]) {
		t.Error("two slugs of one source differ")
	}
}

// What the dyno's user may not read would be empty in the image, or missing.
func TestASlugHoldsWhatDynosCanRead(t *testing.T) {
	c := compileApp(t, map[string]string{"Procfile": "web: x"}, repository(t, map[string]string{
		"bin/detect": "#!/bin/sh\necho Odd\n",
		"bin/compile": "#!/bin/sh\ncd $1 && mkdir -p dir/sub && echo text > dir/file && cp dir/file suid && cp dir/file plain && mkfifo pipe dir/sub/pipe && ln -s nowhere link\n" +
			"chmod 751 dir/sub && chmod 0 dir/file dir && chmod 6755 suid && chmod 640 plain\n",
	})).ok()
	for name, want := range map[string]string{"dir": "dr-x------", "dir/file": "-r--------", "dir/sub": "drwxr-x--x", "suid": "-rwxr-xr-x",
		"plain": "-rw-r-----", "link": "Lrwxrwxrwx"} {
		if st, err := os.Lstat(filepath.Join(c.dir, name)); err != nil || st.Mode().String() != want {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	for _, name := range []string{"pipe", "dir/sub/pipe"} {
		if _, err := os.Lstat(filepath.Join(c.dir, name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
}

func TestTheSourceStaysAsItIs(t *testing.T) {
	dir := write(t, t.TempDir(), map[string]string{"Procfile": "web: x", ".slugignore": "a", "a": "", ".git/HEAD": ""})
	compileHere(t, slug.Here{Dir: dir}).ok()
	for _, name := range []string{"a", ".git/HEAD"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestTheSourceBehindALinkStaysAsItIs(t *testing.T) {
	dir := write(t, t.TempDir(), map[string]string{"Procfile": "web: x", ".slugignore": "a", "a": ""})
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	c := compileHere(t, slug.Here{Dir: link, Environ: []string{"PATH=" + link + "/bin:" + os.Getenv("PATH")},
		Buildpacks: []string{repository(t, map[string]string{"bin/detect": "#!/bin/sh\necho Own\n", "bin/compile": "#!/bin/sh\necho \"PATH is $PATH\"; touch $1/made\n"})}})
	c.ok().says("PATH is " + os.Getenv("PATH") + "\n")
	if _, err := os.Stat(filepath.Join(dir, "a")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "made")); err == nil {
		t.Error("it was compiled in place")
	}
	t.Setenv("TMPDIR", link)
	compileHere(t, slug.Here{Dir: dir}).fails(slug.PhaseSettings, "holds the working directory")
}

func TestTooLargeASlugIsRefusedWithItsLargestDirectories(t *testing.T) {
	if testing.Short() {
		t.Skip("writes half a gigabyte")
	}
	dir := write(t, t.TempDir(), map[string]string{"Procfile": "web: x", "vendor/data/big": ""})
	// Random bytes: they do not compress.
	cmd := exec.Command("sh", "-c", "head -c 501M /dev/urandom > "+dir+"/vendor/data/big")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	compileHere(t, slug.Here{Dir: dir}).fails(slug.PhasePack, "is too large (max is 500M).\nThe largest directories before compression:\n    501M  vendor/data\n")
}
