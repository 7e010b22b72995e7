package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A push of another good release of the platform replaces all six types, and a rollback
// brings the one before back. Whoever uses the platform meanwhile sees nothing of it.
func TestSelfUpgradeUnderLoad(t *testing.T) {
	w := onItself(t, 3)
	w.invariants(t)
	program := goodProgram(t, 1)
	before, err := w.currentRelease()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := w.status()
	if err != nil {
		t.Fatal(err)
	}
	c := w.startClient(t, time.Minute)
	begun, used := time.Now(), c.uses()
	out, err := w.pushProgram(program, nil)
	pushed := time.Since(begun)
	t.Logf("the push took %s and said, with %v:\n%s", pushed.Round(100*time.Millisecond), err, out)
	if err != nil {
		t.Error("the push failed")
	}
	version := before.Version + 1
	if !saysItRuns(out, version) {
		t.Errorf("the push does not say that the platform runs v%d", version)
	}
	current, err := w.currentRelease()
	if err != nil {
		t.Error(err)
	}
	if current.Version != version || current.Status != "succeeded" || current.Slug == before.Slug {
		t.Errorf("after the push the current release is %+v", current)
	}
	if err := w.awaitSettled(time.Minute, version); err != nil {
		t.Errorf("not all types are replaced: %v", err)
	}
	t.Logf("from push to done %s", time.Since(begun).Round(100*time.Millisecond))
	c.usedSince(t, used)
	if err := eventually(30*time.Second, func() error { return w.runs(program) }); err != nil {
		t.Error(err)
	}

	begun, used = time.Now(), c.uses()
	t.Logf("%s", w.must(t, "rollback"))
	if err := w.awaitSettled(2*time.Minute, version+1); err != nil {
		t.Errorf("not all types are rolled back: %v", err)
	}
	if err := eventually(30*time.Second, func() error { return w.runs(goodProgram(t, 0)) }); err != nil {
		t.Error(err)
	}
	t.Logf("from the rollback to done %s", time.Since(begun).Round(100*time.Millisecond))
	if current, err := w.currentRelease(); err != nil || current.Version != version+1 || current.Status != "succeeded" || current.Slug != before.Slug {
		t.Errorf("after the rollback the current release is %+v (%v)", current, err)
	}
	c.usedSince(t, used)
	c.mustBeWhole(t)
	w.invariants(t)
	t.Logf("the last of the old dynos had ended %s after the rollback began", time.Since(begun).Round(100*time.Millisecond))
	if st, err := w.status(); err != nil || st.PID != seed.PID {
		t.Errorf("the seed is process %d and was %d: it did not begin the other programs in its own process (%v)", st.PID, seed.PID, err)
	}
}

// saysItRuns reports whether the output of a push of hoist says that a release does the platform's work.
func saysItRuns(out string, version int) bool {
	return regexp.MustCompile(fmt.Sprintf(`(?i)platform[^\n]*\bruns\b[^\n]*\bv%d\b`, version)).MatchString(out)
}

// runs checks that every process that does the platform's work, the seed too, is of a program.
func (w *selfWorld) runs(program string) error {
	sum, err := fileSHA256(program)
	if err != nil {
		return err
	}
	var found []struct{ Type, Version string }
	if err := w.query(&found, `SELECT c.type, c.version FROM components c JOIN dynos d ON d.id = c.id WHERE d.kind = 'formation' AND d.state = 'up'`); err != nil {
		return err
	}
	for _, f := range found {
		if !strings.HasPrefix(sum, f.Version) {
			return fmt.Errorf("%s is of program %s, not %.12s", f.Type, f.Version, sum)
		}
	}
	if len(found) < len(componentNames) {
		return fmt.Errorf("only %v are registered", found)
	}
	if st, err := w.status(); err != nil || !strings.HasPrefix(sum, st.Version) {
		return fmt.Errorf("the seed is of program %s, not %.12s (%v)", st.Version, sum, err)
	}
	return nil
}
