package builtin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// tool installs an npm package with a program, for the build and for the dynos of the
// app: `yarn start` is in many Procfiles.
func (n *nodeBuild) tool(ctx context.Context, pkg string) error {
	n.Out.Step("Installing %s", pkg)
	name := strings.ReplaceAll(pkg, "/", "_")
	prefix := filepath.Join(n.CacheDir, "tools", name)
	cmd := n.command(ctx, "npm", "install", "--prefix", prefix, "--no-save", "--omit=dev", "--loglevel=error", pkg)
	cmd.Dir = n.CacheDir
	if err := n.Run(cmd); err != nil {
		return fmt.Errorf("could not install %s: %w", pkg, err)
	}
	n.forgetOthers("tools", name)
	home := filepath.Join(n.Dir, toolsDir)
	if err := os.RemoveAll(home); err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	if err := n.Run(n.Command(ctx, "cp", "-a", filepath.Join(prefix, "node_modules"), home)); err != nil {
		return err
	}
	n.tools = true
	n.PrependPath(filepath.Join(home, "node_modules", ".bin"))
	n.env = append(n.env, "PATH="+n.Getenv("PATH"))
	return nil
}

// toolsDir is where tools are in the app.
const toolsDir = ".heroku/tools"

// npmSettings has all that install packages use the stack's settings of npm, such as a mirror or a
// certificate authority of its own: an npm that is told a prefix, or is installed
// elsewhere, would look for them there, and yarn from version 2 on looks for none.
func (n *nodeBuild) npmSettings(ctx context.Context) error {
	if n.registry != "" {
		return nil
	}
	cmd := n.Command(ctx, "npm", "config", "get", "globalconfig", "registry", "cafile")
	cmd.Dir = "/"
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("npm config: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch {
		case value == "" || value == "null" || value == "undefined":
		case key == "registry":
			n.registry = value
		case key == "globalconfig":
			n.give("npm_config_globalconfig", value)
		case key == "cafile":
			n.give("NODE_EXTRA_CA_CERTS", value)
		}
	}
	return nil
}

// give sets a variable of the build and of its commands, unless it has one.
func (n *nodeBuild) give(name, value string) {
	if n.Getenv(name) == "" && n.Config[name] == "" {
		n.Setenv(name, value)
		n.env = append(n.env, name+"="+value)
	}
}
