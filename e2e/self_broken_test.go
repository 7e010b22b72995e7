package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Releases of the platform that cannot do their work, each in a way of its
// own, do no harm: they are given up with the reason in the push's output and the log, the
// platform goes on with the last good one, and who uses it sees nothing.
func TestSelfBrokenReleases(t *testing.T) {
	w := onItself(t, 3, "HOIST_PROOF_LIMIT=20s")
	w.invariants(t)
	c := w.startClient(t, 25*time.Second)
	for i, s := range sabotages(t) {
		t.Run(s.name, func(t *testing.T) { w.breakOff(t, c, s) })
		if t.Failed() {
			// The next is to start from a platform that works.
			if err := w.healed(i + 100); err != nil {
				t.Fatalf("it does not work any more after %q: %v", s.name, err)
			}
		}
	}
	version, err := w.nextVersion()
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.pushProgram(goodProgram(t, 1), nil)
	if err != nil || !saysItRuns(out, version) {
		t.Errorf("a good push after the broken ones: %v\n%s", err, out)
	}
	if err := w.awaitSettled(time.Minute, version); err != nil {
		t.Error(err)
	}
	c.mustBeWhole(t)
	w.invariants(t)
	if err := eventually(30*time.Second, func() error { return w.runs(goodProgram(t, 1)) }); err != nil {
		t.Error(err)
	}
}

func (w *selfWorld) nextVersion() (int, error) {
	list, err := w.releases()
	return len(list) + 1, err
}

// breakOff pushes a broken release, while the client uses the platform.
func (w *selfWorld) breakOff(t *testing.T, c *selfClient, s sabotage) {
	program := s.build(t)
	good, err := w.currentRelease()
	if err != nil {
		t.Fatal(err)
	}
	version, err := w.nextVersion()
	if err != nil {
		t.Fatal(err)
	}
	begun, used := time.Now(), c.uses()
	out, err := w.pushProgram(program, nil)
	t.Logf("the push, begun at %s, took %s and said, with %v:\n%s", begun.Format("15:04:05"), time.Since(begun).Round(100*time.Millisecond), err, out)
	if err != nil {
		if out, err := w.hoistApp.pushAgain(); err != nil || !strings.Contains(out, "up-to-date") {
			t.Errorf("the same pushed again is not up to date: %v\n%s", err, out)
		}
	}
	reason := regexp.MustCompile(s.reason)
	switch runs := saysItRuns(out, version); { // a machine that is starved may find out before it was told
	case runs && !s.late:
		t.Errorf("the push says that the platform runs v%d", version)
	case !runs && !reason.MatchString(out):
		t.Errorf("the push does not name the reason (%s)", s.reason)
	}
	if err := eventually(2*time.Minute, func() error { return w.backAt(good, version) }); err != nil {
		t.Error(err)
	}
	t.Logf("the platform was back at the last good release %s after the push began", time.Since(begun).Round(100*time.Millisecond))
	c.usedSince(t, used)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if list, err := w.hoistApp.cli(ctx, "releases").CombinedOutput(); err != nil || !regexp.MustCompile(fmt.Sprintf(`(?m)^v%d .*fail`, version)).Match(list) {
		t.Errorf("hoist releases does not show that v%d failed: %v\n%s", version, err, list)
	}
	said, err := w.hoistApp.cli(ctx, "logs", "-n", "1500").CombinedOutput()
	line := regexp.MustCompile(fmt.Sprintf(`Release v%d did not (prove itself|last): .*`, version)).Find(said)
	if err != nil || !reason.Match(line) {
		t.Errorf("the log of hoist says of v%d %q (%v), not %s:\n%s", version, line, err, s.reason, lastLines(string(said), 30))
	}
	if err := eventually(30*time.Second, func() error { // the seed may just be replaced
		out, err := w.hoist("seed", "status")
		if err == nil && !reason.MatchString(out) {
			err = fmt.Errorf("the status of the seed does not name the reason (%s):\n%s", s.reason, out)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if s.letIn {
		return
	}
	log, err := os.ReadFile(filepath.Join(w.Dir, "seed.log"))
	if served := regexp.MustCompile(fmt.Sprintf(`(?m)^.* msg=proven .* release=%d .*$`, version)).Find(log); err != nil || served != nil {
		t.Errorf("a part of the broken release was let in: %s, %v", served, err)
	}
}

// backAt says what is missing until the platform is back at a good release
// after another one has failed.
func (w *selfWorld) backAt(good systemRelease, failed int) error {
	current, err := w.currentRelease()
	if err != nil {
		return err
	}
	list, err := w.releases()
	if err != nil {
		return err
	}
	var errs []error
	switch {
	case current.Slug != good.Slug:
		errs = append(errs, fmt.Errorf("the current release is %+v; it is not one with the slug of v%d", current, good.Version))
	case !strings.HasPrefix(current.Description, "Rollback to v") || current.Version <= failed:
		errs = append(errs, fmt.Errorf("the current release is %+v; it is no rollback", current))
	}
	if len(list) < failed || list[failed-1].Status != "failed" {
		errs = append(errs, fmt.Errorf("v%d is not marked as failed: %+v", failed, list[min(failed, len(list))-1]))
	}
	if err := w.settled(0); err != nil {
		errs = append(errs, err)
	} else if st, err := w.status(); err == nil && st.System.Slug != good.Slug {
		errs = append(errs, fmt.Errorf("the slug that runs is %.12s, not the good one", st.System.Slug))
	}
	return errors.Join(errs...)
}

// healed brings the platform back to a good release if it is not at one, as a
// person would.
func (w *selfWorld) healed(n int) error {
	if w.checkSelf() == nil {
		return nil
	}
	w.hoistApp.git(nil, "commit", "-q", "--allow-empty", "-m", fmt.Sprint("again ", n))
	if _, err := w.pushProgram(hoistBin, nil); err != nil {
		return err
	}
	version, err := w.nextVersion()
	if err != nil {
		return err
	}
	return w.awaitSettled(3*time.Minute, version-1)
}
