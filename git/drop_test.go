package git

import (
	"log/slog"
	"os"
	"syscall"
	"testing"
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
