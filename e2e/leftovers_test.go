package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hoist-sh/hoist/oci"
	"github.com/hoist-sh/hoist/seed"
	"github.com/vishvananda/netlink"
)

// leftovers lists what the platform still has on this machine outside its
// directory, a line each: mounts, loop devices, cgroups, interfaces, routes, firewall.
// Other platforms' are not ours to judge.
func (p *platform) leftovers() string {
	settings := seed.Settings{DataDir: p.Dir}
	name := settings.Name()
	var left []string
	keep := func(kind, line, mark string) {
		if line = strings.TrimSpace(line); strings.Contains(line, mark) {
			left = append(left, kind+" "+line)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		keep("mount", line, p.Dir)
	}
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, l := range loops {
		backing, _ := os.ReadFile(l)
		keep("loop", string(backing), p.Dir)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*/*", "/sys/fs/cgroup/*/*/*", "/sys/fs/cgroup/*", "/run/*"} {
		found, _ := filepath.Glob(pattern)
		for _, dir := range found {
			keep("directory", dir, name)
		}
	}
	links, _ := netlink.LinkList()
	for _, l := range links {
		keep("link", l.Attrs().Name, oci.InterfacePrefix(name))
	}
	routes, _ := exec.Command("ip", "route", "show", "type", "unreachable").Output()
	for line := range strings.Lines(string(routes)) {
		keep("route", line, p.network)
	}
	tables, _ := exec.Command("nft", "list", "tables").Output()
	for line := range strings.Lines(string(tables)) {
		keep("nft", line, name)
	}
	return strings.Join(left, "\n")
}
