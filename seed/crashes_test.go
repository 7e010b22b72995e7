package seed

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// away are the settings of a seed that opens no port and whose ground is somebody else's, and away.
func away(dir string) Settings {
	s := Defaults()
	s.DataDir, s.Components = dir, nil
	s.DatabaseURL, s.NATSURL, s.BlobURL = "postgres://u:p@127.0.0.1:1/x", "nats://127.0.0.1:1", "s3://k:s@127.0.0.1:1/b"
	return s
}

// shortDir is a directory in which a socket can be.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hoist-end")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// panicsWhenStarted is begun as what was installed, takes the place of the program that a seed would, notes which that is,
// and panics when it has started.
func panicsWhenStarted(note string) {
	s := away(filepath.Dir(note))
	begun := "installed"
	for next := SuccessorOf(s, begun); next != ""; next = SuccessorOf(s, begun) {
		begun = strings.TrimPrefix(filepath.Base(next), "seed-")
	}
	f, err := os.OpenFile(note, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(begun + "\n")
	}
	if err != nil {
		panic(err)
	}
	Run(context.Background(), Config{Settings: s, Version: begun, Log: slog.New(slog.DiscardHandler), Started: func() error {
		go panic("sabotaged")
		select {}
	}})
	os.Exit(0)
}

// The release is good and its dynos go on. The seed of it was ready, and then panics whenever it is started.
func TestAProgramThatDoesNotLastGivesWayToTheOneBefore(t *testing.T) {
	y := bareSystem(t)
	y.seed.cfg.DataDir = shortDir(t)
	s := &y.seed.cfg.Settings
	extracted := func(version int, text string) string {
		d := y.proven(t, version)
		y.program(t, d, text)
		sum, err := y.extract(t.Context(), d.Slug)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	one, two := extracted(1, "one"), extracted(2, "two")
	y.state.SeedBefore, y.state.Seed = &successor{Sum: one, Release: 1, Proven: true}, &successor{Sum: two, Release: 2, Proven: true}
	y.write()
	for range 2*maxCrashes + 1 {
		cmd := exec.CommandContext(t.Context(), testProgram())
		cmd.Env = append(os.Environ(), "SEED_TEST_PROGRAM=panics when started", "SEED_TEST_DIR="+s.DataDir)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "sabotaged") {
			t.Fatalf("it does not panic: %v %s", err, out)
		}
	}
	var want string
	for range maxCrashes {
		want += two[:12] + "\n"
	}
	for range maxCrashes {
		want += one[:12] + "\n"
	}
	want += "installed\n"
	if begun, err := os.ReadFile(s.file("note")); string(begun) != want {
		t.Fatalf("there were begun, one after the other, %v\n%s, not\n%s", err, begun, want)
	}

	// What was installed is the program that does not last, as after an upgrade by `make up`: the one before is begun.
	s.forgetCrashes(one)
	if got := SuccessorOf(*s, two[:12]); got != s.seedProgram(one) {
		t.Errorf("it begins %q", got)
	}
	// And that one stays, and says why.
	var log strings.Builder
	y.seed.cfg.Version, y.seed.cfg.Replaceable, y.seed.log = one[:12], true, slog.New(slog.NewTextHandler(&log, nil))
	ctx, stop := context.WithCancelCause(t.Context())
	y.seed.stop = stop
	late, err := newSystem(y.seed)
	if err != nil {
		t.Fatal(err)
	}
	const why = "cannot be replaced by the seed of v2: it crashed 3 times in a row, each time within 5 minutes (at last: panic: sabotaged)"
	if late.show(nil, true); !strings.Contains(late.status().Cannot["seed"], why) || !strings.Contains(log.String(), why) {
		t.Errorf("the status says %q, the log %q", late.status().Cannot["seed"], log.String())
	}
	late.succeed(t.Context(), true)
	if r, ok := replaced(ctx); ok {
		t.Errorf("replaced by %s", r.Path)
	}
	if SuccessorOf(*s, one[:12]) != "" {
		t.Error("the one before is not begun to stay")
	}

	// The next good release is tried again, also one of the same program, and the one before stays the one before.
	three := *late.state.Good
	three.ReleaseID, three.Version = "r3", 3
	late.state.Good, late.state.Next = &three, &three
	late.succeed(t.Context(), true)
	if r, ok := replaced(ctx); !ok || r.Path != s.seedProgram(two) || late.state.SeedBefore.Sum != one || s.crashing(late.state.Seed) {
		t.Errorf("replaced %t %+v, %+v before, noted %+v", ok, late.state.Seed, late.state.SeedBefore, s.crashes(two))
	}
	late.collectPrograms()
	s.haveCrashed(t, two, 1)
	if late.collectPrograms(); s.crashes(two).N != 1 {
		t.Error("its crashes are forgotten")
	}
}

// A program that crashes is not taken for the one to go back to when the next release comes.
func TestAProgramThatDoesNotLastIsNotTheOneBefore(t *testing.T) {
	y := bareSystem(t)
	two := y.program(t, y.proven(t, 2), "two")
	y.state.Seed = &successor{Sum: two, Release: 2, Proven: true}
	for _, c := range []struct {
		own    string
		before bool
	}{{sum([]byte("installed")), false}, {two, true}} { // it has begun once more, and goes on
		y.savedText = ""
		y.write()
		again, by := y.restarted(t, c.own)
		three := again.program(t, again.proven(t, 3), "three")
		if _, err := again.extract(t.Context(), y.state.Good.Slug); err != nil {
			t.Fatal(err)
		}
		again.seed.cfg.haveCrashed(t, two, maxCrashes)
		again.succeed(t.Context(), true)
		if by() != again.seed.cfg.seedProgram(three) || (again.state.SeedBefore != nil) != c.before {
			t.Errorf("%.12s: replaced by %q, the one before is %+v", c.own, by(), again.state.SeedBefore)
		}
	}
}

// haveCrashed notes so many crashes of a program.
func (s *Settings) haveCrashed(t *testing.T, sum string, n int) {
	t.Helper()
	text, err := json.Marshal(crashes{N: n - 1, Started: time.Now()})
	if err := errors.Join(err, os.WriteFile(s.crashesFile(sum), text, 0o600), os.WriteFile(s.crashFile(sum), []byte("panic\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsARowOfCrashes(t *testing.T) {
	s := &Settings{DataDir: t.TempDir()}
	const version = "0123456789ab"
	defer debug.SetCrashOutput(nil, debug.CrashOptions{})
	starts := func(want int) {
		t.Helper()
		if err := s.countCrashes(version); err != nil {
			t.Fatal(err)
		}
		if got := s.crashes(version).N; got != want {
			t.Errorf("%d crashes, not %d", got, want)
		}
	}
	crashes := func() {
		t.Helper()
		if err := os.WriteFile(s.crashFile(version), []byte("panic: no\nmore"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(s.file("system"), 0o700); err != nil {
		t.Fatal(err)
	}
	crashes()
	starts(1) // but it came out of no release
	if _, err := os.Stat(s.crashesFile(version)); err == nil {
		t.Error("the crashes of what was installed are counted")
	}
	if err := os.WriteFile(s.seedProgram(version), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	starts(1)
	crashes()
	starts(2)
	starts(2) // it was killed
	crashes()
	if c := s.crashes(version); c.N != 3 || c.Last != "panic: no" {
		t.Errorf("%+v", c)
	}
	starts(3)
	crashes()
	late := time.Now().Add(youth + time.Minute)
	if err := os.Chtimes(s.crashFile(version), late, late); err != nil {
		t.Fatal(err)
	}
	starts(1) // it had run for a while
	if err := os.WriteFile(s.crashesFile(version), []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	starts(0)
	crashes()
	starts(1)
	synctest.Test(t, func(t *testing.T) {
		y := &Seed{cfg: Config{Settings: *s, Version: version}, ctx: t.Context()}
		go y.steady()
		time.Sleep(youth - time.Second)
		if s.crashes(version).N != 1 {
			t.Error("it has not run long enough")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s.crashes(version).N != 0 {
			t.Error("it has run long enough")
		}
	})
}
