package builtin

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// manager is how a package manager installs what the lock file says, and
// removes what only the build needed.
type manager struct {
	install []string
	prune   []string
	dated   []string // files it leaves that say when it ran, and so differ each time
}

// manager chooses the package manager by the lock file that is there. yarn and
// pnpm come as npm packages, in the version that package.json's packageManager
// names.
func (n *nodeBuild) manager(ctx context.Context) (manager, error) {
	switch {
	case n.Has("yarn.lock"):
		version := n.managerVersion("yarn", "1")
		if strings.HasPrefix(version, "1") {
			return manager{install: []string{"yarn", "install", "--frozen-lockfile", "--non-interactive", "--production=false"},
					prune: []string{"yarn", "install", "--frozen-lockfile", "--non-interactive", "--production", "--ignore-scripts", "--prefer-offline"}},
				n.tool(ctx, "yarn@"+version)
		}
		return manager{install: []string{"yarn", "install", "--immutable"}}, n.tool(ctx, "@yarnpkg/cli-dist@"+version)
	case n.Has("pnpm-lock.yaml"):
		return manager{install: []string{"pnpm", "install", "--frozen-lockfile", "--prod=false", "--store-dir=" + filepath.Join(n.CacheDir, "pnpm")},
				prune: []string{"pnpm", "prune", "--prod", "--ignore-scripts"},
				dated: []string{"node_modules/.modules.yaml", "node_modules/.pnpm-workspace-state.json", "node_modules/.pnpm-workspace-state-v1.json"}},
			n.tool(ctx, "pnpm@"+n.managerVersion("pnpm", "9"))
	case n.Has("package-lock.json"), n.Has("npm-shrinkwrap.json"):
		return manager{install: []string{"npm", "ci", "--include=dev"}, prune: []string{"npm", "prune", "--omit=dev", "--ignore-scripts"}}, nil
	}
	n.Out.Warn("No lock file: versions of dependencies may change from build to build.\nRun npm install and commit package-lock.json.")
	return manager{install: []string{"npm", "install", "--include=dev", "--no-package-lock"}, prune: []string{"npm", "prune", "--omit=dev", "--ignore-scripts", "--no-package-lock"}}, nil
}

// managerVersion reads "yarn@4.1.0+sha512.…".
func (n *nodeBuild) managerVersion(name, otherwise string) string {
	v, ok := strings.CutPrefix(n.pkg.PackageManager, name+"@")
	if !ok {
		return otherwise
	}
	v, _, _ = strings.Cut(v, "+")
	return v
}

// tool installs an npm package with a program, outside of the app.
func (n *nodeBuild) tool(ctx context.Context, pkg string) error {
	n.Out.Step("Installing %s", pkg)
	prefix := filepath.Join(n.CacheDir, "tools", strings.ReplaceAll(pkg, "/", "_"))
	cmd := n.command(ctx, "npm", "install", "--prefix", prefix, "--no-save", "--omit=dev", "--loglevel=error", pkg)
	cmd.Dir = n.CacheDir
	if err := n.Run(cmd); err != nil {
		return fmt.Errorf("could not install %s: %w", pkg, err)
	}
	n.PrependPath(filepath.Join(prefix, "node_modules", ".bin"))
	n.env = append(n.env, "PATH="+n.Getenv("PATH"))
	return nil
}
