package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/appfile"
)

// Node is the buildpack of Node.js apps. Scripts and versions come from
// package.json, as with Heroku's
// (https://devcenter.heroku.com/articles/nodejs-support).
type Node struct{}

// packageJSON is the part of a package.json that matters to a build.
type packageJSON struct {
	Engines struct {
		Node string `json:"node"`
		NPM  string `json:"npm"`
		Yarn string `json:"yarn"`
		PNPM string `json:"pnpm"`
	} `json:"engines"`
	PackageManager  string            `json:"packageManager"`
	Scripts         map[string]string `json:"scripts"`
	DevDependencies map[string]string `json:"devDependencies"`
}

// Detect knows an app by its package.json.
func (Node) Detect(_ context.Context, b *buildpack.Build) (string, error) {
	if b.Has("package.json") {
		return "Node.js", nil
	}
	return "", nil
}

// Compile installs the dependencies and runs the build script.
func (Node) Compile(ctx context.Context, b *buildpack.Build) error {
	pkg, err := readPackage(b)
	if err != nil {
		return err
	}
	n := &nodeBuild{Build: b, pkg: pkg}
	if err := n.toolchain(ctx); err != nil {
		return err
	}
	n.PrependPath(filepath.Join(n.Dir, "node_modules", ".bin"))
	n.environ()
	m, err := n.manager(ctx)
	if err != nil {
		return err
	}
	if err := n.script(ctx, "heroku-prebuild"); err != nil {
		return err
	}
	b.Out.Step("Installing dependencies")
	b.Out.Info("%s", strings.Join(m.install, " "))
	if err := n.run(ctx, m.install...); err != nil {
		return err
	}
	build := "build"
	if pkg.Scripts["heroku-postbuild"] != "" {
		build = "heroku-postbuild"
	}
	if err := n.script(ctx, build); err != nil {
		return err
	}
	if len(pkg.DevDependencies) > 0 && n.mode == "production" && len(m.prune) > 0 {
		b.Out.Step("Pruning devDependencies")
		if err := n.run(ctx, m.prune...); err != nil {
			return err
		}
	}
	if err := n.script(ctx, "heroku-cleanup"); err != nil {
		return err
	}
	for _, name := range m.dated {
		if err := os.RemoveAll(filepath.Join(b.Dir, name)); err != nil {
			return err
		}
	}
	return writeProfile(b, "node.sh", n.profile())
}

// Release starts the app with its own start script.
func (Node) Release(_ context.Context, b *buildpack.Build) (buildpack.Release, error) {
	if b.Has("Procfile") {
		return buildpack.Release{}, nil
	}
	pkg, err := readPackage(b)
	if err != nil {
		return buildpack.Release{}, err
	}
	if pkg.Scripts["start"] == "" && !b.Has("server.js") {
		b.Out.Warn("package.json has no start script, so the app has no web process. Add one, or a Procfile.")
		return buildpack.Release{}, nil
	}
	return buildpack.Release{ProcessTypes: map[string]string{"web": "npm start"}}, nil
}

func readPackage(b *buildpack.Build) (packageJSON, error) {
	var pkg packageJSON
	text, err := appfile.Read(b.Dir, "package.json", appfile.Limit)
	if err != nil {
		return pkg, err
	}
	err = json.Unmarshal(text, &pkg)
	var wrong *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &wrong) { // odd types in fields are npm's to judge
		return pkg, fmt.Errorf("package.json: %w", err)
	}
	return pkg, nil
}

type nodeBuild struct {
	*buildpack.Build
	pkg       packageJSON
	env       []string // of npm and scripts
	mode      string   // NODE_ENV
	installed bool     // a Node.js of our own is in .heroku/node
	tools     bool     // yarn or pnpm is in toolsDir
	registry  string   // of npm packages, once npmSettings has asked
}

func (n *nodeBuild) environ() {
	n.mode = n.Config["NODE_ENV"]
	if n.mode == "" {
		n.mode = "production"
	}
	n.env = append([]string{
		"npm_config_fund=false", "npm_config_audit=false", "npm_config_update_notifier=false", "npm_config_progress=false",
	}, n.ConfigEnviron()...)
	n.env = append(n.env, "NODE_ENV="+n.mode, "CI=true", "PATH="+n.Getenv("PATH"),
		"npm_config_cache="+filepath.Join(n.CacheDir, "npm"),
		"YARN_CACHE_FOLDER="+filepath.Join(n.CacheDir, "yarn"))
}

func (n *nodeBuild) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := n.Command(ctx, args[0], args[1:]...)
	cmd.Env = n.env
	return cmd
}

func (n *nodeBuild) run(ctx context.Context, args ...string) error {
	return n.Run(n.command(ctx, args...))
}

// script runs a script of package.json, if it is there.
func (n *nodeBuild) script(ctx context.Context, name string) error {
	if n.pkg.Scripts[name] == "" {
		return nil
	}
	n.Out.Step("Running %s", name)
	return n.run(ctx, "npm", "run", name)
}

func (n *nodeBuild) profile() string {
	dirs := "$HOME/node_modules/.bin"
	if n.tools {
		dirs = "$HOME/" + toolsDir + "/node_modules/.bin:" + dirs
	}
	if n.installed {
		dirs = "$HOME/.heroku/node/bin:" + dirs
	}
	return `export PATH="` + dirs + `:$PATH"
export NODE_ENV="${NODE_ENV:-production}"
`
}
