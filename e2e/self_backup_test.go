package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// comesBack backs a platform that runs on itself up while people push, loses it, and brings it
// back by one command: its own app runs it again, and takes the next release of itself.
func (w *selfWorld) comesBack(t *testing.T) {
	t.Helper()
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
	apps := fmt.Sprintf("%d apps", len(w.apps)+2) // and hoist, and the app of its proofs

	begun := time.Now()
	took := func(what string) {
		t.Logf("%s after %s", what, time.Since(begun).Round(100*time.Millisecond))
		begun = time.Now()
	}
	before := busy.config
	stop := busy.work(t)
	out, err := w.hoist("backup", file, "--key-file", key, "--new-key")
	stop()
	if err != nil || !strings.Contains(out, "Backed up "+apps) {
		t.Fatal(out, err)
	}
	took("backed up, and what went on meanwhile was done")
	if _, err := w.hoist("purge", "--yes"); err != nil {
		t.Fatal(err)
	}
	took("all of it was gone")
	w.move(filepath.Join(dir, "elsewhere"))
	if out, err := w.hoist("restore", file, "--key-file", key); err != nil || !strings.Contains(out, "Restored "+apps) {
		t.Fatal(out, err)
	}
	w.knowHost(t)
	took("restored, and ready")
	if err := w.awaitSettled(2*time.Minute, release.Version); err != nil {
		t.Fatalf("the platform does not run on itself again: %v", err)
	}
	took(fmt.Sprintf("it runs v%d of itself", release.Version))

	busy.asOfBackup(t, before)
	w.invariants(t)
	calm.sameClone(t)
	eachApp(t, w.apps, func(a *faultApp) error { return a.mustPush() })
	took("at rest, and all apps pushed again")
	if out, err := w.pushProgram(goodProgram(t, 0), nil); err != nil {
		t.Fatalf("push of hoist: %v\n%s", err, out)
	}
	if err := w.awaitSettled(2*time.Minute, release.Version+1); err != nil {
		t.Fatal(err)
	}
	w.invariants(t)
	took("the next release of hoist runs, and all is at rest")
}
