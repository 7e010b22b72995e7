package slug

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist/buildpack"
)

// Here compiles a directory: hoist-compile DIR, as a person runs it in a dyno.
type Here struct {
	Dir        string
	CacheDir   string   // kept; empty for none
	EnvDir     string   // config vars; empty to take those of the dyno
	Buildpacks []string // names and URLs, in order; empty to detect one
	Output     string   // where to put the slug; empty to throw it away
	Environ    []string
	Out        *buildpack.Output
}

// Run compiles a copy of the directory, which stays as it is.
func (h Here) Run(ctx context.Context) error {
	given, err := filepath.Abs(h.Dir)
	if err != nil {
		return failed(PhaseSettings, err)
	}
	dir, _ := filepath.EvalSymlinks(given) // or the copy would be a link to it
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return failed(PhaseSettings, fmt.Errorf("%s is not a directory", h.Dir))
	}
	w, err := newWorkDir()
	if err != nil {
		return failed(PhaseFetch, err)
	}
	defer w.remove()
	if strings.HasPrefix(w.path+"/", dir+"/") {
		return failed(PhaseSettings, fmt.Errorf("%s holds the working directory %s; choose another with TMPDIR", h.Dir, w.path))
	}
	if err := CopySource(dir, w.build); err != nil {
		return failed(PhaseFetch, err)
	}
	b := &buildpack.Build{Dir: w.build, CacheDir: h.CacheDir, EnvDir: h.EnvDir, Out: h.Out}
	if b.CacheDir == "" {
		b.CacheDir = w.join("cache")
	}
	if b.CacheDir, err = filepath.Abs(b.CacheDir); err != nil {
		return failed(PhaseSettings, err)
	}
	if err := os.MkdirAll(b.CacheDir, 0o755); err != nil {
		return failed(PhaseSettings, err)
	}
	b.Environ = Environ(h.Environ)
	b.Setenv("PATH", outside(given, outside(dir, b.Getenv("PATH"))))
	if err := h.config(b, w); err != nil {
		return failed(PhaseSettings, err)
	}
	c := &Compiler{Build: b, Buildpacks: h.Buildpacks, Stack: b.Getenv("STACK"), Dir: w.join("buildpacks")}
	if _, err := c.Compile(ctx); err != nil {
		return err
	}
	output := h.Output
	if output == "" {
		output = w.join("slug.squashfs")
	}
	image, err := Pack(ctx, b.Dir, output, h.Out)
	if err == nil {
		h.Out.Info("SHA256:%s", image.SHA256) // as `hoist releases:info` shows that of a release
	}
	return err
}

// outside is a PATH without what is in dir: programs that an earlier compilation left in the app
// are in a dyno's PATH, but not in a build's.
func outside(dir, path string) string {
	dirs := slices.DeleteFunc(filepath.SplitList(path), func(d string) bool {
		rel, err := filepath.Rel(dir, d)
		return err == nil && filepath.IsLocal(rel)
	})
	return strings.Join(dirs, ":")
}

// platformVars are set by the platform in every dyno; the rest of a dyno's
// environment are its config vars.
var platformVars = map[string]bool{
	"DYNO": true, "HOME": true, "HOSTNAME": true, "LANG": true, "LC_ALL": true, "LOGNAME": true, "OLDPWD": true, "PATH": true,
	"PORT": true, "PS1": true, "PWD": true, "SHELL": true, "SHLVL": true, "STACK": true, "TERM": true, "TMPDIR": true,
	"USER": true, "_": true, "COLUMNS": true, "LINES": true, "TZ": true,
}

// config fills ENV_DIR. In a dyno without one given it holds the app's config
// vars, as it would in the app's build.
func (h Here) config(b *buildpack.Build, w workDir) (err error) {
	if h.EnvDir != "" {
		if b.EnvDir, err = filepath.Abs(h.EnvDir); err != nil {
			return err
		}
		b.Config, err = buildpack.ReadEnvDir(b.EnvDir)
		return err
	}
	b.EnvDir, b.Config = w.join("env"), map[string]string{}
	if b.Getenv("DYNO") != "" {
		for _, kv := range b.Environ {
			if k, v, _ := strings.Cut(kv, "="); !platformVars[k] {
				b.Config[k] = v
			}
		}
	}
	return buildpack.WriteEnvDir(b.EnvDir, b.Config)
}
