package oci_test

import (
	"os/signal"
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
		if strings.TrimSpace(out) != "SigIgn:\t0000000000000000" {
			t.Errorf("%s: %s", runtime, out)
		}
	}
}
