package oci_test

import (
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hoist-sh/hoist/oci"
)

// Started under nohup(1) a process ignores SIGHUP, and so do those it executes
// (signal(7)). An app's must not.
func TestIgnoredSignalsAreNotInherited(t *testing.T) {
	signal.Ignore(syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Reset(syscall.SIGHUP, syscall.SIGUSR1)
	for _, runtime := range []string{"crun", "runc"} {
		e := newEngine(t, func(c *oci.Config) { c.Runtime = runtime })
		out, _ := run(t, e, spec("grep SigIgn /proc/self/status"))
		ignored, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(out, "SigIgn:")), 16, 64)
		if err != nil {
			t.Fatalf("%s: %q: %v", runtime, out, err)
		}
		// Signals 32 and 33 are the C library's own (signal(7)): programs cannot
		// set them, and whoever started the tests may have left them ignored.
		if ignored &^= 3 << (32 - 1); ignored != 0 {
			t.Errorf("%s: ignores %#x", runtime, ignored)
		}
	}
}
