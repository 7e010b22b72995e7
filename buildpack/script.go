package buildpack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/hoist-sh/hoist"
	"go.yaml.in/yaml/v3"
)

// Script is a buildpack of programs: bin/detect, bin/compile and bin/release in
// a directory.
type Script struct {
	Dir string
}

// NameLimit is the most that a buildpack may call an app, in bytes.
const NameLimit = 200

// Detect runs bin/detect BUILD_DIR; a first line of output is the name, as far as it is text and not too long.
func (s Script) Detect(ctx context.Context, b *Build) (string, error) {
	path := s.bin("detect")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the buildpack has no bin/detect")
	}
	var out bytes.Buffer
	cmd := b.Command(ctx, path, b.Dir)
	cmd.Stdout, cmd.Stderr = &out, b.Out
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return "", nil
	}
	if err := ran(cmd, err); err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(strings.TrimSpace(out.String()), "\n")
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, name)
	if len(name) > NameLimit {
		name = name[:NameLimit]
		name = name[:NameLimit-hoist.PartialRune([]byte(name))]
	}
	if name == "" {
		name = "Unknown"
	}
	return name, nil
}

// Compile runs bin/compile BUILD_DIR CACHE_DIR ENV_DIR, then sources the file
// export, if there is one, into the build's environment.
func (s Script) Compile(ctx context.Context, b *Build) error {
	cmd := b.Command(ctx, s.bin("compile"), b.Dir, b.CacheDir, b.EnvDir)
	cmd.Stdout, cmd.Stderr = b.Out, b.Out
	if err := ran(cmd, cmd.Run()); err != nil {
		return err
	}
	return s.export(ctx, b)
}

func (s Script) export(ctx context.Context, b *Build) error {
	path := filepath.Join(s.Dir, "export")
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	var env bytes.Buffer
	cmd := b.Command(ctx, "bash", "-c", `source "$1" >&2 && exec env -0`, "export", path)
	cmd.Stdout, cmd.Stderr = &env, b.Out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("sourcing the buildpack's export: %w", err)
	}
	b.Environ = strings.FieldsFunc(env.String(), func(r rune) bool { return r == 0 })
	return nil
}

// Release runs bin/release BUILD_DIR and reads the YAML it prints.
func (s Script) Release(ctx context.Context, b *Build) (Release, error) {
	var r Release
	if _, err := os.Stat(s.bin("release")); err != nil {
		return r, nil // optional in practice
	}
	var out bytes.Buffer
	cmd := b.Command(ctx, s.bin("release"), b.Dir)
	cmd.Stdout, cmd.Stderr = &out, b.Out
	if err := ran(cmd, cmd.Run()); err != nil {
		return r, err
	}
	return ParseRelease(out.Bytes())
}

// ParseRelease reads the YAML of a bin/release.
func ParseRelease(text []byte) (Release, error) {
	var r Release
	if len(text) > 64<<10 {
		return r, errors.New("bin/release printed more than 64K")
	}
	if err := yaml.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("bin/release printed no valid YAML: %w", err)
	}
	return r, nil
}

func (s Script) bin(name string) string { return filepath.Join(s.Dir, "bin", name) }
