package builtin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/static"
)

// Static is the buildpack of static sites, served by hoist-static.
type Static struct{}

// Detect knows a site by static.json or an index.html, which may be in public_html or public.
func (Static) Detect(_ context.Context, b *buildpack.Build) (string, error) {
	if b.Has(static.ConfigFile) || b.Has("index.html") || b.Has("public_html/index.html") || b.Has("public/index.html") {
		return "Static HTML", nil
	}
	return "", nil
}

// Compile checks that there is something to serve.
func (Static) Compile(_ context.Context, b *buildpack.Build) error {
	config, err := static.ReadConfig(b.Dir)
	if err != nil {
		return err
	}
	if len(config.Ignored) > 0 {
		b.Out.Warn("%s: these settings are not supported and have no effect: %s", static.ConfigFile, strings.Join(config.Ignored, ", "))
	}
	root, err := siteRoot(b, config)
	if err != nil {
		return err
	}
	if st, err := os.Stat(filepath.Join(b.Dir, root)); err != nil || !st.IsDir() {
		return fmt.Errorf("the site's root directory %q is not there", root)
	}
	b.Out.Info("Serving %s with hoist-static", root)
	return nil
}

// Release serves the site as "web".
func (Static) Release(_ context.Context, b *buildpack.Build) (buildpack.Release, error) {
	if b.Has("Procfile") {
		return buildpack.Release{}, nil
	}
	config, err := static.ReadConfig(b.Dir)
	if err != nil {
		return buildpack.Release{}, err
	}
	root, err := siteRoot(b, config)
	return buildpack.Release{ProcessTypes: map[string]string{"web": "hoist-static " + hoist.ShellQuote(root)}}, err
}

// siteRoot is the directory that is served: what static.json says, or else Heroku's default if
// there is one.
func siteRoot(b *buildpack.Build, c static.Config) (string, error) {
	switch {
	case c.Root != "":
		if !filepath.IsLocal(c.Root) {
			return "", errors.New(static.ConfigFile + ": root must be a directory of the app")
		}
		return c.Root, nil
	case b.Has("public_html"):
		return "public_html", nil
	case b.Has("index.html"):
		return ".", nil
	case b.Has("public"):
		return "public", nil
	}
	return ".", nil
}
