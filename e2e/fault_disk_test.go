package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The disk of the platform's data is full. Pushes fail and say why, the apps
// serve on, and when there is room again everything works by itself.
func TestFaultDiskFull(t *testing.T) {
	if testing.Short() {
		t.Skip("faults take minutes")
	}
	disk := newDisk(t, 3<<30)
	t.Setenv("TMPDIR", disk)
	w := newFaultWorld(t, 2)
	w.invariants(t)
	if _, _, err := w.apps[0].edit(); err != nil { // the person's home is on that disk, too
		t.Fatal(err)
	}
	l := startLoad(w, w.apps)
	fill := filepath.Join(disk, "fill")
	if err := fillUp(disk, fill); err != nil {
		t.Fatal(err)
	}
	out, err := w.apps[0].pushAgain()
	t.Logf("a push to a full disk: %v\n%s", err, out)
	if err == nil {
		t.Error("which worked")
	}
	if !strings.Contains(out, " !     ") {
		t.Error("which is no reason")
	}
	w.apps[1].set() // the database may or may not have room for it
	time.Sleep(10 * time.Second)
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	if err := eventually(60*time.Second, func() error { _, err := w.apps[0].pushAgain(); return err }); err != nil {
		t.Errorf("pushed again: %v", err)
	}
	if err := w.apps[1].mustSet(); err != nil {
		t.Error(err)
	}
	w.invariants(t)
	l.mustBeWhole(t, time.Time{}, time.Time{})
}

// newDisk mounts an ext4 of its own.
func newDisk(t *testing.T, size int64) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "hoist-disk-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	t.Cleanup(func() { os.Remove(dir) })
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	unmount := atEnd(func() error {
		return eventually(10*time.Second, func() error { return unix.Unmount(dir, 0) })
	})
	t.Cleanup(func() {
		if err := unmount(); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillUp leaves nothing free.
func fillUp(disk, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Statfs(disk, &st); err != nil {
		return err
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-(1<<20)); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		if _, err := f.Write(buf); err != nil {
			return nil
		}
	}
}
