package git

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hoist-sh/hoist"
)

func TestAMirrorInUseIsNotDropped(t *testing.T) {
	c := newCache(t.TempDir(), nil, nil, 0, slog.New(slog.DiscardHandler))
	if err := layOut(c.path("shop")); err != nil {
		t.Fatal(err)
	}
	use, err := flock(t.Context(), c.usePath("shop"), syscall.LOCK_SH)
	if err != nil {
		t.Fatal(err)
	}
	c.drop("shop")
	if _, err := os.Stat(c.path("shop")); err != nil {
		t.Error(err)
	}
	use.Close()
	c.drop("shop")
	if _, err := os.Stat(c.path("shop")); err == nil {
		t.Error("still there")
	}
}

func TestAnIntactMirrorIsNotReadForEachMistake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t.TempDir(), nil, nil, 0, slog.New(slog.DiscardHandler))
		pack, index := sha256.Sum256([]byte("pack")), sha1.Sum(nil)
		m := &mirror{dir: c.path("shop"), repo: hoist.Repo{Packs: []hoist.Pack{{Key: "a.pack", SHA256: hex.EncodeToString(pack[:])}}}}
		if err := layOut(m.dir); err != nil {
			t.Fatal(err)
		}
		base := filepath.Join(m.dir, "objects", "pack", packName(m.repo.Packs[0]))
		write := func(name, content string) {
			t.Helper()
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(base+".pack", "pack")
		write(base+".idx", string(index[:]))
		if !c.sound("shop", m) {
			t.Error("not intact")
		}
		write(base+".pack", "broken")
		if !c.sound("shop", m) {
			t.Error("it was read again at once")
		}
		time.Sleep(checkEvery)
		synctest.Wait()
		for range 2 { // until it is made anew
			if c.sound("shop", m) {
				t.Error("it is not read again")
			}
		}
	})
}
