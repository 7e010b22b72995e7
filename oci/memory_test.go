package oci_test

import (
	"errors"
	"testing"

	"github.com/hoist-sh/hoist"
)

func TestMemoryIsThatOfProcessesWithoutCachedFiles(t *testing.T) {
	e := newEngine(t)
	s := spec(`head -c 40M /dev/zero > file; cat file > /dev/null; exec perl -e '$x = "x" x (32 << 20); $| = 1; print "up\n"; sleep 100'`)
	start(t, e, s)
	var out lines
	go e.Watch(t.Context(), s.ID, &out)
	out.wait(t, "up")
	used, err := e.Memory(t.Context(), s.ID)
	if err != nil || used < 32<<20 || used > 80<<20 { // perl may have the text twice
		t.Fatalf("got %d bytes, %v", used, err)
	}
	if err := e.Remove(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Memory(t.Context(), s.ID); !errors.Is(err, hoist.ErrNotFound) {
		t.Fatalf("of what is gone: %v", err)
	}
}

func TestDynoAboveItsQuotaRunsOnUntilTwiceThat(t *testing.T) {
	e := newEngine(t)
	eat := func(bytes string) hoist.ContainerSpec {
		s := spec(`exec perl -e 'for (1 .. ` + bytes + `) { push @x, "x" x (1 << 20) } print "fine\n"'`)
		s.Size.Memory = 32 << 20
		return s
	}
	if out, exit := run(t, e, eat("44")); out != "fine\n" || exit.OOM {
		t.Errorf("above: %q, %+v", out, exit)
	}
	if out, exit := run(t, e, eat("80")); out != "" || !exit.OOM || exit.Code != 137 {
		t.Errorf("vastly above: %q, %+v", out, exit)
	}
}
