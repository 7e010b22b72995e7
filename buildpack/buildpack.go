// Package buildpack is the contract between the slug compiler and what
// compiles an app (https://devcenter.heroku.com/articles/buildpack-api), and
// the buildpacks fetched from a URL. The built-in ones, in package builtin,
// keep the same contract in Go, so one can take the place of the other.
package buildpack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Buildpack turns an app's source into what runs.
type Buildpack interface {
	// Detect says whether it can compile the app and what it calls it, e.g.
	// "Go". An app it does not know is no error: the name is empty.
	Detect(ctx context.Context, b *Build) (name string, err error)
	// Compile changes b.Dir in place. What later buildpacks and bin/release
	// should see of the environment it leaves in b (Setenv).
	Compile(ctx context.Context, b *Build) error
	// Release says what the compiled app defaults to.
	Release(ctx context.Context, b *Build) (Release, error)
}

// Release is what bin/release prints. Config vars and add-ons, which Heroku
// once took from it, are not used.
type Release struct {
	ProcessTypes map[string]string `yaml:"default_process_types"`
}

// ErrFailed means that a command of the build failed after having said why in
// the output.
var ErrFailed = errors.New("the build failed; the output above says why")

// Build is what a buildpack works on.
type Build struct {
	Dir      string            // BUILD_DIR: the app
	CacheDir string            // CACHE_DIR: kept from build to build
	EnvDir   string            // ENV_DIR: a file for each config var
	Config   map[string]string // the same config vars
	Environ  []string          // the platform's environment: "KEY=value"
	Out      *Output
}

// Getenv returns a variable of the platform's environment.
func (b *Build) Getenv(key string) string {
	for _, kv := range slices.Backward(b.Environ) {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			return v
		}
	}
	return ""
}

// Setenv changes the environment for what runs after.
func (b *Build) Setenv(key, value string) {
	b.Environ = slices.DeleteFunc(b.Environ, func(kv string) bool { return strings.HasPrefix(kv, key+"=") })
	b.Environ = append(b.Environ, key+"="+value)
}

// PrependPath puts dirs first in PATH.
func (b *Build) PrependPath(dirs ...string) {
	b.Setenv("PATH", strings.Join(append(dirs, b.Getenv("PATH")), ":"))
}

// neverExported are config vars that would break the tools of a build.
var neverExported = []string{"PATH", "HOME", "GIT_DIR", "CPATH", "CPPATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "LIBRARY_PATH", "LANG", "BUILD_DIR"}

// ConfigEnviron is the environment with the config vars, for buildpacks that
// promise their users to export them.
func (b *Build) ConfigEnviron() []string {
	env := slices.Clone(b.Environ)
	for k, v := range b.Config {
		if !slices.Contains(neverExported, k) {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// Has reports whether the app has a file (or directory) of that name.
func (b *Build) Has(name string) bool {
	_, err := os.Stat(filepath.Join(b.Dir, name))
	return err == nil
}

// LookPath finds a program in the build's own PATH; empty if it is not there.
func (b *Build) LookPath(program string) string {
	for _, dir := range filepath.SplitList(b.Getenv("PATH")) {
		path := filepath.Join(dir, program)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// Command prepares a program, run in b.Dir with the build's environment, and
// killed with all its children when ctx ends.
func (b *Build) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	path := program
	if !strings.Contains(program, "/") {
		if path = b.LookPath(program); path == "" {
			path = program // Start says that it is not found
		}
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = b.Dir, b.Environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// Run runs a command with its output indented; if the command fails the error
// is ErrFailed.
func (b *Build) Run(cmd *exec.Cmd) error {
	w := b.Out.Indented()
	defer w.Close()
	cmd.Stdout, cmd.Stderr = w, w
	return ran(cmd, cmd.Run())
}

// ran tells a command that failed from one that could not be run.
func ran(cmd *exec.Cmd, err error) error {
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return fmt.Errorf("%s: %w (%s)", filepath.Base(cmd.Path), ErrFailed, exit)
	case errors.Is(err, exec.ErrWaitDelay): // a daemon it left holds the pipe
		return nil
	}
	return err
}

// WriteEnvDir fills an ENV_DIR from config vars.
func WriteEnvDir(dir string, config map[string]string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for k, v := range config {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(k)), []byte(v), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// ReadEnvDir reads an ENV_DIR.
func ReadEnvDir(dir string) (map[string]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	config := map[string]string{}
	for _, f := range files {
		if !f.Type().IsRegular() {
			continue
		}
		v, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		config[f.Name()] = string(v)
	}
	return config, nil
}
