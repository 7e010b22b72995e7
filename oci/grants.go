package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/hoist-sh/hoist"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// idsOf is the host's user id for id 0 of a container.
func idsOf(c *container, spec hoist.ContainerSpec) uint32 {
	switch g := spec.Grants; {
	case g == nil:
		return firstID(c.IP)
	case g.Privileged:
		return 0
	case g.IDs != 0:
		return g.IDs
	}
	return firstID(c.IP)
}

// checkGrants finds out what cannot be granted together.
func checkGrants(g *hoist.Grants) error {
	switch {
	case g == nil:
		return nil
	case g.IDs%uidRange != 0 || g.HostNetwork && !g.Privileged && g.IDs == 0:
		return hoist.Invalid("A dyno in the host's network needs user ids of its own, from a multiple of %d on.", uidRange)
	}
	for _, b := range g.Binds {
		if !filepath.IsAbs(b.Source) || b.Target != grantsDir && filepath.Dir(b.Target) != grantsDir {
			return hoist.Invalid("%q cannot be shown at %q: want an absolute path, and %s or what is directly below.", b.Source, b.Target, grantsDir)
		}
	}
	return nil
}

// grantsDir is where binds are.
const grantsDir = "/var/lib/hoist"

func grantedFiles(g *hoist.Grants) (files []*os.File) {
	if g != nil {
		for _, f := range g.Files {
			files = append(files, f.File)
		}
	}
	return files
}

func grantedNames(g *hoist.Grants) (names []string) {
	if g != nil {
		for _, f := range g.Files {
			names = append(names, f.Name)
		}
	}
	return names
}

func (l *layers) bind(i int) string { return filepath.Join(l.dir, fmt.Sprintf("bind-%d", i)) }

// bindGrants mounts what is bound where a user namespace can get at it: the
// directories above the source may be closed to it.
func (l *layers) bindGrants(g *hoist.Grants) error {
	if g == nil {
		return nil
	}
	for i, b := range g.Binds {
		st, err := os.Stat(b.Source)
		if err != nil {
			return fmt.Errorf("oci: %w", err)
		}
		if st.IsDir() {
			err = os.Mkdir(l.bind(i), 0o755)
		} else {
			err = os.WriteFile(l.bind(i), nil, 0o644)
		}
		if err != nil {
			return fmt.Errorf("oci: %w", err)
		}
		if err := unix.Mount(b.Source, l.bind(i), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("oci: bind %s: %w", b.Source, err)
		}
		l.binds = i + 1
	}
	return nil
}

// grant adds to a container's configuration what it was granted.
func grant(s *specs.Spec, g *hoist.Grants, l *layers) {
	s.Process.OOMScoreAdj = nil
	for i, b := range g.Binds {
		options := []string{"bind", "nosuid"}
		if b.ReadOnly {
			options = append(options, "ro")
		}
		if !g.Privileged {
			options = append(options, "nodev")
		}
		s.Mounts = append(s.Mounts, specs.Mount{Destination: b.Target, Type: "bind", Source: l.bind(i), Options: options})
	}
	if g.HostNetwork {
		s.Linux.Sysctl = nil // they are the host's
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace })
		if !g.Privileged { // sysfs shows a network, which must be the user namespace's own
			s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/sys" })
		}
	}
	if g.Privileged {
		privilege(s)
	}
}

// privileges are the capabilities that it takes to make containers.
var privileges = []struct {
	name string
	cap  int
}{
	{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN}, {"CAP_MKNOD", unix.CAP_MKNOD}, {"CAP_NET_ADMIN", unix.CAP_NET_ADMIN},
	{"CAP_SETUID", unix.CAP_SETUID}, {"CAP_SETGID", unix.CAP_SETGID}, {"CAP_SETPCAP", unix.CAP_SETPCAP},
	{"CAP_CHOWN", unix.CAP_CHOWN}, {"CAP_DAC_OVERRIDE", unix.CAP_DAC_OVERRIDE}, {"CAP_FOWNER", unix.CAP_FOWNER},
	{"CAP_KILL", unix.CAP_KILL}, {"CAP_NET_BIND_SERVICE", unix.CAP_NET_BIND_SERVICE}, {"CAP_SYS_CHROOT", unix.CAP_SYS_CHROOT},
	{"CAP_SETFCAP", unix.CAP_SETFCAP}, {"CAP_SYS_RESOURCE", unix.CAP_SYS_RESOURCE},
}

// privilege makes a container one that can run an Engine of its own. It has no
// user namespace, since loop devices and version 1 cgroups belong to the first.
func privilege(s *specs.Spec) {
	var caps []string
	for _, c := range privileges {
		if capable(c.cap) {
			caps = append(caps, c.name)
		}
	}
	s.Process.User = specs.User{}
	s.Process.NoNewPrivileges = false
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps, Inheritable: caps, Ambient: caps}
	s.Annotations = nil
	s.Linux.Seccomp = nil
	s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
	s.Linux.RootfsPropagation = "rprivate"
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
	for i, m := range s.Mounts {
		switch m.Destination {
		case "/dev":
			s.Mounts[i].Options = []string{"nosuid", "strictatime", "mode=755", "size=64k"} // devices of its own
		case "/sys":
			s.Mounts[i].Options = []string{"nosuid", "noexec", "nodev"}
		}
	}
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "rw"}},
		specs.Mount{Destination: "/run", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=755"}})
	s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/loop-control", Type: "c", Major: 10, Minor: 237}}
	s.Linux.Resources = &specs.LinuxResources{Devices: deviceRules()}
}

// deviceRules allow to make any device, and to use the harmless ones, terminals and
// loop devices.
func deviceRules() []specs.LinuxDeviceCgroup {
	rules := []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	allow := func(typ, access string, major, minor int64) {
		r := specs.LinuxDeviceCgroup{Allow: true, Type: typ, Access: access}
		if major >= 0 {
			r.Major = &major
		}
		if minor >= 0 {
			r.Minor = &minor
		}
		rules = append(rules, r)
	}
	allow("c", "m", -1, -1)
	allow("b", "m", -1, -1)
	for _, minor := range []int64{3, 5, 7, 8, 9} { // null, zero, full, random, urandom
		allow("c", "rwm", 1, minor)
	}
	for _, minor := range []int64{0, 1, 2} { // tty, console, ptmx
		allow("c", "rwm", 5, minor)
	}
	allow("c", "rwm", 136, -1) // pts
	allow("b", "rwm", 7, -1)   // loop
	allow("c", "rwm", 10, 237)
	return rules
}
