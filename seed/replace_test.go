package seed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program makes a program of the seed's in a slug, and returns its sum.
func (y *system) program(t *testing.T, d *desired, text string) string {
	t.Helper()
	tree := t.TempDir()
	if err := os.MkdirAll(filepath.Join(tree, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "bin/hoist"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	os.Remove(y.slugFile(d.Slug))
	if out, err := exec.Command("mksquashfs", tree, y.slugFile("new"), "-quiet", "-no-progress").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	image, err := os.ReadFile(y.slugFile("new"))
	if err != nil {
		t.Fatal(err)
	}
	d.Slug = sum(image)
	if err := os.Rename(y.slugFile("new"), y.slugFile(d.Slug)); err != nil {
		t.Fatal(err)
	}
	return sum([]byte(text))
}

func sum(text []byte) string {
	s := sha256.Sum256(text)
	return hex.EncodeToString(s[:])
}

// restarted is the system of a seed that starts on the same directory, of a program.
func (y *system) restarted(t *testing.T, version string) (again *system, replacedBy func() string) {
	t.Helper()
	again = bareSystem(t)
	again.seed.cfg.DataDir, again.seed.cfg.Version, again.seed.cfg.Replaceable = y.seed.cfg.DataDir, version[:12], true
	ctx, stop := context.WithCancelCause(t.Context())
	again.seed.stop = stop
	if text, err := os.ReadFile(y.file()); err == nil && json.Unmarshal(text, &again.state) != nil {
		t.Fatal(string(text))
	}
	return again, func() string {
		if r, ok := replaced(ctx); ok {
			return r.Path
		}
		return ""
	}
}

// The program of a release does not start: the one before goes on, not the one that was installed once.
func TestASuccessorThatFailsGivesWayToTheOneBefore(t *testing.T) {
	y := bareSystem(t)
	s := &y.seed.cfg.Settings
	installed := sum([]byte("installed"))
	one := y.program(t, y.proven(t, 1), "one")
	y.write()
	y, by := y.restarted(t, installed) // all that comes out of the file is another object
	y.succeed(t.Context(), true)
	if by() != s.seedProgram(one) {
		t.Fatalf("replaced by %q", by())
	}
	y, by = y.restarted(t, one)
	y.succeed(t.Context(), true)
	if by() != "" || !y.state.Seed.Proven {
		t.Errorf("%q %+v", by(), y.state.Seed)
	}
	if y.show(nil, true); y.status().Seed != 1 {
		t.Errorf("the seed is of v%d", y.status().Seed)
	}

	two := y.program(t, y.proven(t, 2), "two")
	for n := range seedTries + 1 { // each time it does not start, and its keeper begins what was installed
		y.write()
		next := SuccessorOf(*s, installed[:12])
		if next != s.seedProgram(one) {
			t.Fatalf("after %d tries what was installed begins %q", n, next)
		}
		y, by = y.restarted(t, one)
		y.succeed(t.Context(), true)
		if tried := by() != ""; tried != (n < seedTries) || tried && by() != s.seedProgram(two) {
			t.Errorf("try %d: %q", n, by())
		}
	}
	if !strings.Contains(y.cannot["seed"], "did not become ready") || SuccessorOf(*s, two[:12]) != "" {
		t.Errorf("%v", y.cannot)
	}

	three := y.program(t, y.proven(t, 3), "three")
	y.succeed(t.Context(), true)
	y, _ = y.restarted(t, three)
	y.succeed(t.Context(), true)
	if files, _ := filepath.Glob(s.seedProgram("*")); !y.state.Seed.Proven || len(files) != 2 || SuccessorOf(*s, one[:12]) != "" {
		t.Errorf("%v %+v", files, y.state.Seed)
	}
	y.write()
	if got := SuccessorOf(*s, installed[:12]); got != s.seedProgram(three) {
		t.Errorf("begins %q", got)
	}
}

func TestADamagedProgramIsNotBegun(t *testing.T) {
	y := bareSystem(t)
	one := y.program(t, y.proven(t, 1), "one")
	y.write()
	y, by := y.restarted(t, sum([]byte("installed")))
	y.state.Seed = &successor{Sum: one, Release: 1, Proven: true}
	path := y.seed.cfg.seedProgram(one)
	if err := os.WriteFile(path, []byte("rust"), 0o755); err != nil {
		t.Fatal(err)
	}
	y.succeed(t.Context(), true)
	if text, err := os.ReadFile(path); err != nil || string(text) != "one" || by() != path {
		t.Errorf("%q %v %q", text, err, by())
	}
	y, by = y.restarted(t, sum([]byte("installed")))
	if err := errors.Join(os.WriteFile(path, []byte("rust"), 0o755), os.Remove(y.slugFile(y.state.Good.Slug))); err != nil {
		t.Fatal(err)
	}
	y.succeed(t.Context(), true)
	if by() != "" || !strings.Contains(y.cannot["seed"], "is damaged") || y.state.Seed.Tries > 1 {
		t.Errorf("%q %v %+v", by(), y.cannot, y.state.Seed)
	}
}
