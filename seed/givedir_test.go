package seed

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A component swaps directories for links all the time while its next dyno is given the place.
func TestADirectoryIsGivenWithoutWhatLinksInItLeadTo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives files away; needs root")
	}
	host, dir := t.TempDir(), filepath.Join(t.TempDir(), "git")
	secret := filepath.Join(host, "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	there, aside, link := filepath.Join(dir, "there"), filepath.Join(dir, "aside"), filepath.Join(dir, "link")
	if err := os.MkdirAll(there, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(there, "secret"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(host, link); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var swaps sync.WaitGroup
	swaps.Go(func() {
		for {
			select {
			case <-stop:
				return
			default: // there is now the directory, now the link
				os.Rename(there, aside)
				os.Rename(link, there)
				os.Rename(there, link)
				os.Rename(aside, there)
			}
		}
	})
	const ids = 0x0f00 << 16
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		giveDir(dir, ids) // may see that it is being fooled
	}
	close(stop)
	swaps.Wait()
	owner := func(path string) uint32 {
		t.Helper()
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			t.Fatal(err)
		}
		return st.Uid
	}
	if owner(secret) != 0 || owner(host) != 0 {
		t.Error("a file of the host's was given away")
	}
	if err := giveDir(dir, ids); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, there, filepath.Join(there, "secret"), link} {
		if owner(path) != ids+1000 {
			t.Errorf("%s is %d's", path, owner(path))
		}
	}
}
