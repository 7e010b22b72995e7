package oci_test

import (
	"strings"
	"testing"
)

func TestOutputAndExitCode(t *testing.T) {
	e := newEngine(t)
	out, exit := run(t, e, spec("echo hello; echo world >&2; exit 7"))
	if out != "hello\nworld\n" || exit.Code != 7 || exit.OOM || exit.DiskFull || exit.TimedOut {
		t.Fatalf("got %q, %+v", out, exit)
	}
	if exit.StartedAt.IsZero() || exit.EndedAt.Before(exit.StartedAt) {
		t.Fatalf("times: %+v", exit)
	}
}

func TestContainerFromInside(t *testing.T) {
	e := newEngine(t)
	s := spec(`id; pwd; hostname; cat /etc/hosts /etc/resolv.conf; ls -la / /app /tmp /etc /sys/fs/cgroup; cat /proc/self/status; mount; ls -l /proc/self/fd; ip a; ip r; df`)
	s.SlugPath = slug(t, map[string]string{"hello": "x", "dir/y": "z"})
	out, exit := run(t, e, s)
	t.Log(out, exit)
	_ = strings.Contains
}
