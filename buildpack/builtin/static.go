package builtin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/static"
)

// Static is the buildpack of static sites, served by hoist-static.
type Static struct{}

// Detect knows a site by static.json, index.html or public/index.html.
func (Static) Detect(_ context.Context, b *buildpack.Build) (string, error) {
	if b.Has(static.ConfigFile) || b.Has("index.html") || b.Has("public/index.html") {
		return "Static HTML", nil
	}
	return "", nil
}

// Compile checks that there is something to serve.
func (Static) Compile(_ context.Context, b *buildpack.Build) error {
	root, err := siteRoot(b)
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
	root, err := siteRoot(b)
	return buildpack.Release{ProcessTypes: map[string]string{"web": "hoist-static " + quote(root)}}, err
}

func siteRoot(b *buildpack.Build) (string, error) {
	c, err := static.ReadConfig(b.Dir)
	switch {
	case err == nil && c.Root != "":
		if !filepath.IsLocal(c.Root) {
			return "", errors.New(static.ConfigFile + ": root must be a directory of the app")
		}
		return c.Root, nil
	case err != nil:
		return "", err
	case b.Has("index.html"):
		return ".", nil
	case b.Has("public"):
		return "public", nil
	}
	return ".", nil
}
