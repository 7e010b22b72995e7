package builtin

import (
	"context"
	"fmt"
	"go/version"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/appfile"
	"golang.org/x/mod/modfile"
)

// goMod is what a go.mod says about how to build it.
type goMod struct {
	path    string
	minimum string   // "go1.25.3": the larger of the go and toolchain lines
	exact   string   // from "// +heroku goVersion go1.25"
	install []string // from "// +heroku install ./cmd/..."
	noCgo   bool     // from "// +hoist cgo off"
}

var heroku = regexp.MustCompile(`(?m)^//[ \t]*\+heroku[ \t]+(goVersion|install)[ \t]+(.+)$`)

// cgoOff asks for programs that are the same wherever they are built, with a C
// compiler or without.
var cgoOff = regexp.MustCompile(`(?m)^//[ \t]*\+hoist[ \t]+cgo[ \t]+off[ \t]*$`)

func readGoMod(b *buildpack.Build) (goMod, error) {
	text, err := appfile.Read(b.Dir, "go.mod", appfile.Limit)
	if err != nil {
		return goMod{}, err
	}
	return parseGoMod(text)
}

func parseGoMod(text []byte) (goMod, error) {
	f, err := modfile.Parse("go.mod", text, nil)
	if err != nil { // what a newer go command may understand, or will explain
		if f, err = modfile.ParseLax("go.mod", text, nil); err != nil {
			return goMod{}, err
		}
	}
	m := goMod{minimum: "go1.21", noCgo: cgoOff.Match(text)}
	if f.Module != nil {
		m.path = f.Module.Mod.Path
	}
	if f.Go != nil {
		m.minimum = "go" + f.Go.Version
	}
	if f.Toolchain != nil && version.Compare(f.Toolchain.Name, m.minimum) > 0 {
		m.minimum = f.Toolchain.Name
	}
	for _, c := range heroku.FindAllStringSubmatch(string(text), -1) {
		value := strings.TrimSpace(c[2])
		switch c[1] {
		case "goVersion":
			m.exact = value
		case "install":
			m.install = strings.Fields(value)
		}
	}
	return m, nil
}

// toolchain makes the go command one that builds this module. The stack's own
// does when it is new enough, as it does on a developer's machine; a version
// that was asked for by name (goVersion, GOVERSION) is taken exactly, in its
// newest patch. Others come as golang.org/toolchain from the module proxy,
// which the go command verifies with the checksum database and keeps in the
// module cache.
func (g *goBuild) toolchain(ctx context.Context) error {
	g.env = append(g.env, "GOTOOLCHAIN=local")
	if g.LookPath("go") == "" {
		return fmt.Errorf("the stack has no go command (it is looked for in %s)", g.Getenv("PATH"))
	}
	// Outside of the module: there a go line that is too new is an error.
	probe := g.goCommand(ctx, "env", "GOVERSION")
	probe.Dir = "/"
	out, err := probe.Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	stack, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	exact := g.Config["GOVERSION"]
	if exact == "" {
		exact = g.mod.exact
	}
	if exact != "" && !strings.HasPrefix(exact, "go") {
		exact = "go" + exact
	}
	switch {
	case exact == "" && version.Compare(stack, g.mod.minimum) >= 0,
		exact != "" && (stack == exact || version.Lang(stack) == exact):
		g.Out.Step("Using %s", stack)
		g.forgetOtherToolchains("")
		return nil
	case exact != "" && !version.IsValid(exact):
		return fmt.Errorf("%q is not a version of Go; write it like go1.25 or go1.25.3", exact)
	}
	want := exact
	if want == "" {
		want = g.mod.minimum
	}
	if version.Lang(want) == want {
		want = g.newestPatch(ctx, want)
	}
	g.env = append(g.env, "GOTOOLCHAIN="+want)
	g.Out.Step("Installing %s", want)
	install := g.goCommand(ctx, "version")
	install.Dir = "/"
	text, err := install.CombinedOutput()
	if err != nil {
		return fmt.Errorf("could not install %s: %s", want, strings.TrimSpace(string(text)))
	}
	g.forgetOtherToolchains(want)
	return nil
}

// forgetOtherToolchains removes from the module cache all of Go's toolchains but one, as each
// new patch would add another.
func (g *goBuild) forgetOtherToolchains(kept string) {
	kept = "v0.0.1-" + kept + "." + runtime.GOOS + "-" + runtime.GOARCH
	modules := moduleCache(g.CacheDir)
	for _, names := range []string{"golang.org/toolchain@v*", "cache/download/golang.org/toolchain/@v/v*"} {
		paths, _ := filepath.Glob(filepath.Join(modules, names))
		for _, path := range paths {
			if !strings.Contains(filepath.Base(path), kept) {
				os.RemoveAll(path)
			}
		}
	}
}

// newestPatch asks the module proxy for the newest release of a language
// version: go1.25 means go1.25.9. Without an answer it is the first one.
func (g *goBuild) newestPatch(ctx context.Context, lang string) string {
	newest := lang
	if version.Compare(lang, "go1.21") >= 0 {
		newest += ".0" // releases before 1.21 had no .0
	}
	cmd := g.goCommand(ctx, "list", "-m", "-versions", "go")
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		return newest
	}
	for _, v := range strings.Fields(string(out)) {
		v = "go" + v
		if version.IsValid(v) && version.Lang(v) == lang && !strings.Contains(v, "rc") && !strings.Contains(v, "beta") &&
			version.Compare(v, newest) > 0 {
			newest = v
		}
	}
	return newest
}
