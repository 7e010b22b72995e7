package oci_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/hoist-sh/hoist/oci"
	"github.com/vishvananda/netlink"
)

// traces lists what containers of this process's engines leave behind if something
// goes wrong; others on the machine have other names.
func traces(t testing.TB) []string {
	t.Helper()
	ours := regexp.MustCompile("hoist-" + testNames() + "|" + regexp.QuoteMeta(filepath.Dir(t.TempDir())))
	var all []string
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if ours.MatchString(line) {
			all = append(all, "mount "+strings.Fields(line)[4])
		}
	}
	backing, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, path := range backing {
		if file, err := os.ReadFile(path); err == nil && ours.Match(file) {
			all = append(all, "loop "+string(file))
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/hoist-t*/*", "/sys/fs/cgroup/*/hoist-t*/*", "/run/hoist-t*/c/*", "/run/hoist-t*/slugs/*"} {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			if st, err := os.Stat(dir); err == nil && st.IsDir() && ours.MatchString(dir) {
				all = append(all, "dir "+dir)
			}
		}
	}
	slices.Sort(all)
	return all
}

// same fails unless the traces are soon those of before.
func same(t *testing.T, before []string) {
	t.Helper()
	var now []string
	eventually(t, func() bool { now = traces(t); return slices.Equal(before, now) }, func() string {
		return fmt.Sprintf("left over:\n%s\nbefore:\n%s", strings.Join(now, "\n"), strings.Join(before, "\n"))
	})
}

func TestTeardownLeavesNothing(t *testing.T) {
	before := traces(t)
	cfg := config(t)
	e, err := oci.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := spec("sleep 100")
	s.SlugPath = slug(t, map[string]string{"a": "b"})
	start(t, e, s)
	start(t, e, spec("true"))
	attached := spec("cat")
	attached.Attach, attached.TTY = true, true
	start(t, e, attached)
	if len(links(t, cfg.Name)) == 0 || !hasTable(t, cfg.Name) {
		t.Fatal("the test does not see what it looks for")
	}
	if err := e.Teardown(context.Background()); err != nil {
		t.Fatal(err)
	}
	same(t, before)
	if left := links(t, cfg.Name); len(left) > 0 || hasTable(t, cfg.Name) {
		t.Fatalf("left over: %v, or the table", left)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*/hoist-", "/sys/fs/cgroup/hoist-", "/run/hoist-"} {
		if left, _ := filepath.Glob(pattern + cfg.Name); len(left) > 0 {
			t.Fatalf("left over: %v", left)
		}
	}
}

func links(t testing.TB, name string) []string {
	t.Helper()
	all, err := netlink.LinkList()
	for errors.Is(err, netlink.ErrDumpInterrupted) {
		all, err = netlink.LinkList()
	}
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, l := range all {
		if strings.HasPrefix(l.Attrs().Name, oci.InterfacePrefix(name)) {
			ours = append(ours, l.Attrs().Name)
		}
	}
	return ours
}

func hasTable(t *testing.T, name string) bool {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := c.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(tables, func(table *nftables.Table) bool { return table.Name == "hoist-"+name })
}
