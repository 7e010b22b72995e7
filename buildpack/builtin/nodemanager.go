package builtin

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/hoist-sh/hoist/buildpack/appfile"
)

// manager is how a package manager installs what the lock file says, and
// removes what only the build needed.
type manager struct {
	tool    string // the npm package it comes in; empty for npm itself
	install []string
	prune   []string
	dated   []string // files it leaves that say when it ran, and so differ each time
	env     []string
}

// manager chooses the package manager and installs it.
func (n *nodeBuild) manager(ctx context.Context) (manager, error) {
	if n.Has("yarn.lock") || n.Has("pnpm-lock.yaml") {
		if err := n.npmSettings(ctx); err != nil {
			return manager{}, err
		}
	}
	m, err := n.choose()
	if err == nil && m.tool == "" {
		m.tool, err = n.otherNPM(ctx)
	}
	if err != nil {
		return m, err
	}
	if m.tool == "" {
		n.forgetOthers("tools", "")
		return m, nil
	}
	n.env = append(n.env, m.env...)
	return m, n.tool(ctx, m.tool)
}

// choose chooses by the lock file that is there. yarn and pnpm come as npm packages, in
// the version that package.json's packageManager or engines name, or else one that
// leaves the lock file as it is.
func (n *nodeBuild) choose() (m manager, err error) {
	switch {
	case n.Has("yarn.lock"):
		lock, err := appfile.Read(n.Dir, "yarn.lock", lockLimit)
		if err != nil {
			return m, err
		}
		wanted := n.managerVersion("yarn", n.pkg.Engines.Yarn)
		if format := berryLock.FindSubmatch(lock); format != nil {
			m = n.berry(cmp.Or(wanted, berryFor(string(format[1]))))
		} else if major := leadingNumber(wanted); major != "" && major != "1" && n.pkg.PackageManager != "" {
			m = n.berry(wanted) // which will make the lock file its own
		} else {
			m = yarnClassic(cmp.Or(wanted, "1"))
		}
	case n.Has("pnpm-lock.yaml"):
		lock, err := appfile.Read(n.Dir, "pnpm-lock.yaml", lockLimit)
		if err != nil {
			return m, err
		}
		format := pnpmLock.FindSubmatch(lock)
		m = n.pnpm(cmp.Or(n.managerVersion("pnpm", n.pkg.Engines.PNPM), pnpmFor(format)))
	case n.Has("package-lock.json"), n.Has("npm-shrinkwrap.json"):
		return manager{install: []string{"npm", "ci", "--include=dev"}, prune: []string{"npm", "prune", "--omit=dev", "--ignore-scripts"}}, nil
	default:
		n.Out.Warn("No lock file: versions of dependencies may change from build to build.\nRun npm install and commit package-lock.json.")
		return manager{install: []string{"npm", "install", "--include=dev", "--no-package-lock"}, prune: []string{"npm", "prune", "--omit=dev", "--ignore-scripts", "--no-package-lock"}}, nil
	}
	return m, nil
}

const lockLimit = 64 << 20

// The formats of lock files, by which those who wrote them are known.
var (
	berryLock = regexp.MustCompile(`(?m)^__metadata:\r?\n  version: (\d+)`)
	pnpmLock  = regexp.MustCompile(`(?m)^lockfileVersion: ['"]?(\d+)`)
)

// managerVersion reads "yarn@4.1.0+sha512.…"; without it what engines say.
func (n *nodeBuild) managerVersion(name, engine string) string {
	v, ok := strings.CutPrefix(n.pkg.PackageManager, name+"@")
	if !ok {
		return strings.TrimSpace(engine)
	}
	v, _, _ = strings.Cut(v, "+")
	return v
}

// wantedNPM is the version or range of npm that package.json names.
func (n *nodeBuild) wantedNPM() string {
	wanted := n.managerVersion("npm", n.pkg.Engines.NPM)
	if strings.ContainsAny(wanted, "/:") { // from elsewhere
		return ""
	}
	return wanted
}

// otherNPM is the npm that package.json wants, if the stack's is another; a Node.js of the app's own
// came with the right one.
func (n *nodeBuild) otherNPM(ctx context.Context) (pkg string, err error) {
	wanted := n.wantedNPM()
	if n.installed || wanted == "" {
		return "", nil
	}
	out, err := n.Command(ctx, "npm", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("npm --version: %w", err)
	}
	have, err := semver.NewVersion(strings.TrimSpace(string(out)))
	if err != nil {
		return "", fmt.Errorf("npm --version: %w", err)
	}
	if c, err := semver.NewConstraint(wanted); err == nil && c.Check(have) {
		return "", nil
	}
	return "npm@" + wanted, n.npmSettings(ctx)
}

func leadingNumber(version string) string {
	version = strings.TrimLeft(version, "^~>=v ")
	return version[:len(version)-len(strings.TrimLeft(version, "0123456789"))]
}

func yarnClassic(version string) manager {
	return manager{
		tool:    "yarn@" + version,
		install: []string{"yarn", "install", "--frozen-lockfile", "--non-interactive", "--production=false"},
		prune:   []string{"yarn", "install", "--frozen-lockfile", "--non-interactive", "--production", "--ignore-scripts", "--prefer-offline"},
	}
}

// berryFor returns the newest version of yarn that leaves a lock file of a format as it is.
func berryFor(format string) string {
	switch format {
	case "4":
		return "2"
	case "5", "6":
		return "3"
	}
	return "4"
}

// berry is yarn from version 2 on. Its own way to keep packages, Plug'n'Play, needs a yarn
// or a flag wherever node runs, so it is told to make node_modules; unless the app's
// repository has its files, as then the app does without what is installed.
func (n *nodeBuild) berry(version string) manager {
	m := manager{tool: "@yarnpkg/cli-dist@" + version, install: []string{"yarn", "install", "--immutable"},
		dated: []string{".yarn/install-state.gz"},
		env:   []string{"YARN_ENABLE_TELEMETRY=0"}}
	if rc, err := appfile.Read(n.Dir, ".yarnrc.yml", appfile.Limit); err != nil || !bytes.Contains(rc, []byte("npmRegistryServer")) {
		m.env = append(m.env, "YARN_NPM_REGISTRY_SERVER="+n.registry)
	}
	if n.Has(".pnp.cjs") {
		m.env = append(m.env, "YARN_ENABLE_GLOBAL_CACHE=false", "YARN_CACHE_FOLDER="+filepath.Join(n.Dir, ".yarn", "cache"))
		return m
	}
	m.env = append(m.env, "YARN_NODE_LINKER=node-modules")
	if leadingNumber(version) >= "4" { // before it is a plugin
		m.prune = []string{"yarn", "workspaces", "focus", "--all", "--production"}
	}
	return m
}

// pnpmFor returns the newest version of pnpm that leaves a lock file of a format as it is.
func pnpmFor(format [][]byte) string {
	if format != nil {
		switch string(format[1]) {
		case "5":
			return "7"
		case "6":
			return "8"
		}
	}
	return "9"
}

func (n *nodeBuild) pnpm(version string) manager {
	return manager{
		tool:    "pnpm@" + version,
		install: []string{"pnpm", "install", "--frozen-lockfile", "--prod=false", "--store-dir=" + filepath.Join(n.CacheDir, "pnpm")},
		prune:   []string{"pnpm", "prune", "--prod", "--ignore-scripts"},
		dated:   []string{"node_modules/.modules.yaml", "node_modules/.pnpm-workspace-state.json", "node_modules/.pnpm-workspace-state-v1.json"},
	}
}
