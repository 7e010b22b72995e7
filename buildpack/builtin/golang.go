package builtin

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/buildpack"
)

// Go is the buildpack of Go modules. It takes its users' settings from where
// Heroku's does (https://devcenter.heroku.com/articles/go-support): comments
// in go.mod and the config vars GOVERSION and GO_INSTALL_PACKAGE_SPEC.
type Go struct{}

// Detect knows a module by its go.mod.
func (Go) Detect(_ context.Context, b *buildpack.Build) (string, error) {
	if b.Has("go.mod") {
		return "Go", nil
	}
	return "", nil
}

// Compile installs the module's programs in bin/.
func (Go) Compile(ctx context.Context, b *buildpack.Build) error {
	mod, err := readGoMod(b)
	if err != nil {
		return err
	}
	g := &goBuild{Build: b, mod: mod}
	if err := g.environ(); err != nil {
		return err
	}
	if err := g.toolchain(ctx); err != nil {
		return err
	}
	return g.install(ctx)
}

// Release runs the only program that was built, or the one named like the module, as "web".
func (Go) Release(_ context.Context, b *buildpack.Build) (buildpack.Release, error) {
	if b.Has("Procfile") {
		return buildpack.Release{}, nil
	}
	mod, err := readGoMod(b)
	if err != nil {
		return buildpack.Release{}, err
	}
	programs, err := installed(filepath.Join(b.Dir, "bin"))
	if err != nil {
		return buildpack.Release{}, err
	}
	if len(programs) == 0 {
		return buildpack.Release{}, errors.New("the Go build made no program")
	}
	web := programs[0]
	for _, name := range []string{mod.programName(), "server", "web"} {
		if slices.Contains(programs, name) {
			web = name
			break
		}
	}
	return buildpack.Release{ProcessTypes: map[string]string{"web": "bin/" + hoist.ShellQuote(web)}}, nil
}

// buildTag is in each program that install made, so that it is known from what the app's
// source has in bin/.
const buildTag = "heroku"

// installed returns the programs in bin that install made.
func installed(bin string) (names []string, err error) {
	list, err := os.ReadDir(bin)
	for _, e := range list {
		if !e.Type().IsRegular() {
			continue
		}
		info, err := buildinfo.ReadFile(filepath.Join(bin, e.Name()))
		if err == nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-tags", Value: buildTag}) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

type goBuild struct {
	*buildpack.Build
	mod goMod
	env []string // of the go command
}

// environ prepares the go command's environment. Our flags come first in
// GOFLAGS, so that the app's own win.
func (g *goBuild) environ() error {
	cache := filepath.Join(g.CacheDir, "go")
	modules, compiled := moduleCache(g.CacheDir), filepath.Join(cache, "build")
	for _, dir := range []string{modules, compiled} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	flags := []string{"-trimpath", "-buildvcs=false", "-modcacherw", `"-ldflags=-s -w"`}
	for _, f := range []string{g.Getenv("GOFLAGS"), g.Config["GOFLAGS"]} {
		if f != "" {
			flags = append(flags, f)
		}
	}
	if g.LookPath("go") == "" {
		for _, dir := range []string{"/usr/local/go/bin", "/usr/lib/go/bin"} {
			if _, err := os.Stat(dir + "/go"); err == nil {
				g.PrependPath(dir)
				break
			}
		}
	}
	g.env = append(g.ConfigEnviron(),
		"GOMODCACHE="+modules, "GOCACHE="+compiled,
		"GOBIN="+filepath.Join(g.Dir, "bin"), "GOPATH="+filepath.Join(cache, "path"),
		"GOENV=off", "GOWORK=off", "GO111MODULE=on", "GOROOT=",
		"GOFLAGS="+strings.Join(flags, " "))
	if g.mod.noCgo {
		g.env = append(g.env, "CGO_ENABLED=0")
	}
	return nil
}

func (g *goBuild) goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := g.Command(ctx, "go", args...)
	cmd.Env = g.env
	return cmd
}

// output runs the go command for what it prints; what it complains is shown.
func (g *goBuild) output(ctx context.Context, args ...string) (string, error) {
	cmd := g.goCommand(ctx, args...)
	errs := g.Out.Indented()
	defer errs.Close()
	cmd.Stderr = errs
	text, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("go %s: %w", args[0], buildpack.ErrFailed)
	}
	return strings.TrimSpace(string(text)), err
}

func (g *goBuild) install(ctx context.Context) error {
	spec := strings.Fields(g.Config["GO_INSTALL_PACKAGE_SPEC"])
	if len(spec) == 0 {
		spec = g.mod.install
	}
	if len(spec) == 0 {
		mains, err := g.output(ctx, "list", "-tags", buildTag, "-f", "{{if eq .Name \"main\"}}{{.ImportPath}}{{end}}", "./...")
		if err != nil {
			return err
		}
		if spec = strings.Fields(mains); len(spec) == 0 {
			return errors.New("the module has no main package, so there is nothing to run")
		}
		g.Out.Step("Detected the following main packages to install:")
		for _, p := range spec {
			g.Out.Info("%s", p)
		}
	}
	if g.Has("vendor/modules.txt") {
		g.Out.Step("Using the vendor directory")
	}
	g.Out.Step("Running: go install -tags %s %s", buildTag, strings.Join(spec, " "))
	if err := os.MkdirAll(filepath.Join(g.Dir, "bin"), 0o755); err != nil {
		return err
	}
	return g.Run(g.goCommand(ctx, append([]string{"install", "-tags", buildTag}, spec...)...))
}

// programName is what go install calls the module's root package.
func (m goMod) programName() string {
	name := path.Base(m.path)
	if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
		name = path.Base(path.Dir(m.path))
	}
	return name
}
