package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
	"github.com/hoist-sh/hoist/buildpack/archive"
	"github.com/hoist-sh/hoist/buildpack/builtin"
	"github.com/hoist-sh/hoist/buildpack/slug"
	"github.com/hoist-sh/hoist/compile"
	"github.com/hoist-sh/hoist/seed"
)

// modules makes the app's build cache of the Go modules that this machine has, as it has
// just been built from them: then stage 1 needs no network, and finds them in its cache after that.
// That some or all are missing does no harm.
func (c *bootstrapCommand) modules() (string, error) {
	said, err := c.giveModules()
	if err != nil && c.ctx.Err() == nil {
		return fmt.Sprintf("it gets none, and fetches them: %v", err), nil
	}
	return said, err
}

func (c *bootstrapCommand) giveModules() (string, error) {
	goSum, err := c.exec("git", "-C", c.work(), "show", c.commit+":go.sum")
	if err != nil {
		return "the source has no go.sum, and needs none", nil
	}
	from, err := c.moduleCache()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "hoist-modules")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	there, named, err := builtin.GoModules(dir, from, []byte(goSum))
	if err != nil {
		return "", err
	}
	if err := c.storeCache(dir); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of the %d that go.sum names, from %s", there, named, from), nil
}

// moduleCache is the person's GOMODCACHE.
func (c *bootstrapCommand) moduleCache() (string, error) {
	if dir := os.Getenv("GOMODCACHE"); dir != "" {
		return dir, nil
	}
	program, err := exec.LookPath("go")
	if err != nil {
		program = "/usr/local/go/bin/go" // which sudo's PATH leaves out
	}
	cmd := c.personCommand(program, "env", "GOMODCACHE")
	cmd.Dir = "/" // of no module, which might ask for another Go
	return output(cmd)
}

// storeCache makes a directory the app's build cache, as compile does.
func (c *bootstrapCommand) storeCache(dir string) error {
	var app struct {
		ID hoist.ID `json:"id"`
	}
	if err := c.api(http.MethodGet, "/apps/"+c.app, nil, &app); err != nil {
		return err
	}
	environ, err := seed.EnvironOf(c.dataDir, hoist.ComponentCompile)
	if err != nil {
		return err
	}
	blobs, err := blob.Open((&ground{environ: environ}).env("BLOB_URL"))
	if err != nil {
		return err
	}
	f, err := os.CreateTemp("", "hoist-modules")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := archive.Create(f, dir, slug.CacheLimit); err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return blobs.Put(c.ctx, compile.CacheKey(app.ID), f, size, slug.CacheLimit)
}
