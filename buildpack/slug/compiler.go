// Package slug is the slug compiler, hoist-compile: source in, squashfs image
// out. It runs inside a dyno, the build's own or any other, and trusts neither
// the source nor the buildpacks.
package slug

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"

	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/builtin"
	"github.com/hoist-sh/hoist/buildpack/procfile"
)

// Compiler runs an app's buildpacks.
type Compiler struct {
	Build      *buildpack.Build
	Buildpacks []string // names and URLs, in order; empty to detect one
	Stack      string
	Dir        string // for buildpacks fetched from a URL
}

// Compiled says what the buildpacks made of an app.
type Compiled struct {
	Buildpack    string // what the last one calls the app: "Go"
	ProcessTypes procfile.Types
}

// Compile runs the buildpacks on the build's directory. Its errors are of type
// *Error; with one, Compiled names at most the buildpack that failed.
func (c *Compiler) Compile(ctx context.Context) (Compiled, error) {
	b := c.Build
	if err := Prune(b.Dir, b.Out); err != nil {
		return Compiled{}, failed(PhaseFetch, err)
	}
	if c.Stack != "" {
		b.Out.Step("Building on the %s stack", c.Stack)
	}
	// A wrong Procfile is better said before the work than after it.
	if _, _, err := procfile.Read(b.Dir); err != nil {
		return Compiled{}, failed(PhasePack, err)
	}
	if len(c.Buildpacks) == 0 {
		return c.detect(ctx)
	}
	return c.listed(ctx)
}

// detect uses the first built-in buildpack that knows the app.
func (c *Compiler) detect(ctx context.Context) (Compiled, error) {
	c.Build.Out.Step("Determining which buildpack to use for this app")
	for _, p := range builtin.All {
		name, err := p.Buildpack.Detect(ctx, c.Build)
		if err != nil {
			return Compiled{}, failed(PhaseDetect, err)
		}
		if name == "" {
			continue
		}
		if err := c.run(ctx, p.Buildpack, name); err != nil {
			return Compiled{Buildpack: name}, err
		}
		return c.release(ctx, p.Buildpack, name)
	}
	return Compiled{}, failed(PhaseDetect, errors.New("No default language could be detected for this app.\n"+
		"HINT: an app needs one of go.mod (Go), package.json (Node.js), index.html or static.json (static site) or a Procfile in its root directory.\n"+
		"Is what you pushed the directory you meant? For another language, say which buildpack to use:\n"+
		"  hoist buildpacks:set https://example.com/some-buildpack.git"))
}

// listed uses the app's own list of buildpacks.
func (c *Compiler) listed(ctx context.Context) (Compiled, error) {
	out := c.Build.Out
	if len(c.Buildpacks) == 1 {
		out.Step("Using buildpack: %s", buildpack.Redacted(c.Buildpacks[0]))
	} else {
		out.Step("Using buildpacks:")
		for i, url := range c.Buildpacks {
			out.Info("%d. %s", i+1, buildpack.Redacted(url))
		}
	}
	var last buildpack.Buildpack
	var lastName string
	for i, url := range c.Buildpacks {
		p, ok := builtin.Find(url)
		if !ok {
			script, err := buildpack.Fetch(ctx, c.Build, url, filepath.Join(c.Dir, fmt.Sprint(i)))
			if err != nil {
				return Compiled{}, failed(PhaseFetch, err)
			}
			p = script
		}
		name, err := p.Detect(ctx, c.Build)
		if err != nil {
			return Compiled{}, failed(PhaseDetect, err)
		}
		if name == "" {
			return Compiled{}, failed(PhaseDetect, fmt.Errorf("App not compatible with buildpack: %s\n"+
				"Its bin/detect did not find the files it looks for.", buildpack.Redacted(url)))
		}
		if err := c.run(ctx, p, name); err != nil {
			return Compiled{Buildpack: name}, err
		}
		last, lastName = p, name
	}
	return c.release(ctx, last, lastName)
}

func (c *Compiler) run(ctx context.Context, p buildpack.Buildpack, name string) error {
	c.Build.Out.Step("%s app detected", name)
	err := p.Compile(ctx, c.Build)
	if err != nil && ctx.Err() == nil && errors.Is(err, buildpack.ErrFailed) {
		err = fmt.Errorf("Failed to compile the %s app: %w", name, err)
	}
	return failed(PhaseCompile, err)
}

// release finds the process types: the buildpack's defaults, then the Procfile.
func (c *Compiler) release(ctx context.Context, p buildpack.Buildpack, name string) (Compiled, error) {
	r, err := p.Release(ctx, c.Build)
	if err != nil {
		return Compiled{}, failed(PhaseCompile, err)
	}
	declared, found, err := procfile.Read(c.Build.Dir)
	if err != nil {
		return Compiled{}, failed(PhasePack, err)
	}
	types := procfile.Types{}
	maps.Copy(types, r.ProcessTypes)
	maps.Copy(types, declared)
	if err := types.Validate(); err != nil {
		return Compiled{}, failed(PhasePack, err)
	}
	out := c.Build.Out
	out.Step("Discovering process types")
	if found || len(r.ProcessTypes) == 0 {
		out.Info("Procfile declares types     -> %s", list(declared))
	}
	if len(r.ProcessTypes) > 0 {
		out.Info("Default types for %-9s -> %s", name, list(r.ProcessTypes))
	}
	return Compiled{Buildpack: name, ProcessTypes: types}, nil
}

func list(t procfile.Types) string {
	if len(t) == 0 {
		return "(none)"
	}
	return strings.Join(t.Names(), ", ")
}

// Environ is the environment a build starts from: the process's own without
// what only concerns the slug compiler.
func Environ(environ []string) []string {
	var env []string
	for _, kv := range environ {
		if !strings.HasPrefix(kv, "HOIST_") {
			env = append(env, kv)
		}
	}
	return env
}
