package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A platform that runs on itself is backed up while people push, is lost, and comes
// back by one command: its own app runs it again, and takes the next release of itself.
func TestSelfBackup(t *testing.T) {
	w := onItself(t, 2) // and hoist, and the app of its proofs
	calm, busy := w.apps[0], w.apps[1]
	if err := busy.mustSet(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(w.Dir)
	file, key := filepath.Join(dir, "one.backup"), filepath.Join(dir, "key")
	release, err := w.currentRelease()
	if err != nil {
		t.Fatal(err)
	}

	before := busy.config
	stop := busy.work(t)
	out, err := w.hoist("backup", file, "--key-file", key, "--new-key")
	stop()
	if err != nil || !strings.Contains(out, "Backed up 4 apps") {
		t.Fatal(out, err)
	}
	if _, err := w.hoist("purge", "--yes"); err != nil {
		t.Fatal(err)
	}
	w.move(filepath.Join(dir, "elsewhere"))
	begun := time.Now()
	if out, err := w.hoist("restore", file, "--key-file", key); err != nil || !strings.Contains(out, "Restored 4 apps") {
		t.Fatal(out, err)
	}
	w.knowHost(t)
	if err := w.awaitSettled(2*time.Minute, release.Version); err != nil {
		t.Fatalf("the platform does not run on itself again: %v", err)
	}
	t.Logf("it runs v%d of itself again after %s", release.Version, time.Since(begun).Round(100*time.Millisecond))

	busy.asOfBackup(t, before)
	w.invariants(t)
	calm.sameClone(t)
	eachApp(t, w.apps, func(a *faultApp) error { return a.mustPush() })
	if out, err := w.pushProgram(goodProgram(t, 0), nil); err != nil {
		t.Fatalf("push of hoist: %v\n%s", err, out)
	}
	if err := w.awaitSettled(2*time.Minute, release.Version+1); err != nil {
		t.Fatal(err)
	}
	w.invariants(t)
}
