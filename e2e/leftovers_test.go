package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// footprint is what a platform may leave on a machine, a line each.
type footprint []string

// snapshot lists this machine's mounts, loop devices, cgroups, interfaces and
// firewall tables that could be ours.
func snapshot() footprint {
	var f footprint
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		f = append(f, "mount "+strings.TrimSpace(line))
	}
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, l := range loops {
		backing, _ := os.ReadFile(l)
		f = append(f, "loop "+strings.TrimSpace(string(backing)))
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*/hoist*", "/sys/fs/cgroup/*/*/hoist*", "/sys/fs/cgroup/hoist*", "/run/hoist-*"} {
		found, _ := filepath.Glob(pattern)
		for _, dir := range found {
			f = append(f, "directory "+dir)
		}
	}
	links, _ := netlink.LinkList()
	for _, l := range links {
		f = append(f, "link "+l.Attrs().Name)
	}
	tables, _ := exec.Command("nft", "list", "tables").Output()
	for line := range strings.Lines(string(tables)) {
		f = append(f, "nft "+strings.TrimSpace(line))
	}
	return f
}

// minus lists what is in f and was not before.
func (f footprint) minus(before footprint) string {
	var left []string
	for _, line := range f {
		if !slices.Contains(before, line) {
			left = append(left, line)
		}
	}
	return strings.Join(left, "\n")
}
