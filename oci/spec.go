package oci

import (
	"encoding/base64"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// expendable makes the kernel choose a dyno, not the platform, when the whole machine's
// memory is used up (proc_pid_oom_score_adj(5)): all may have more than their quotas at once.
var expendable = 500

// ociSpec is the configuration of a container
// (https://github.com/opencontainers/runtime-spec/blob/main/config.md).
func (e *Engine) ociSpec(spec hoist.ContainerSpec, c *container, base uint32) *specs.Spec {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: base, Size: uidRange}}
	s := &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: e.root, Readonly: true},
		Process: &specs.Process{
			Terminal:        spec.TTY,
			ConsoleSize:     windowSize(spec.Env),
			User:            specs.User{UID: dynoUID, GID: dynoUID},
			Args:            []string{dynoShell, "-c", passGate(spec.Grants), dynoUser},
			Env:             environment(hoist.ContainerSpec{TTY: spec.TTY}),
			Cwd:             "/",
			Capabilities:    &specs.LinuxCapabilities{},
			Rlimits:         []specs.POSIXRlimit{openFiles()},
			NoNewPrivileges: true,
			OOMScoreAdj:     &expendable,
		},
		Mounts: containerMounts(c.layers),
		Linux: &specs.Linux{
			UIDMappings: ids,
			GIDMappings: ids,
			Sysctl: map[string]string{
				"net.ipv4.ip_unprivileged_port_start": "0",
				"net.ipv6.conf.default.disable_ipv6":  "1",
			},
			CgroupsPath: e.cgroups.path(c.name),
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.UserNamespace}, {Type: specs.PIDNamespace}, {Type: specs.MountNamespace},
				{Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace},
				{Type: specs.CgroupNamespace},
			},
			RootfsPropagation: "private",
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
				"/sys/devices/virtual/powercap", "/sys/firmware",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	s.Linux.Seccomp = seccompFilter()
	// crun compiles that for every container, for 13 ms of CPU time, unless it is given the
	// program. Others, and crun 0.17 of Ubuntu 22.04, do not know the annotation.
	if program := e.seccompProgram(); e.runtime.name == "crun" && program != nil {
		s.Annotations = map[string]string{"run.oci.seccomp_bpf_data": base64.StdEncoding.EncodeToString(program)}
	}
	if spec.Grants != nil {
		grant(s, spec.Grants, c.layers)
	}
	return s
}

func containerMounts(l *layers) []specs.Mount {
	bind := func(from, to string, options ...string) specs.Mount {
		return specs.Mount{Destination: to, Type: "bind", Source: from, Options: append(options, "bind", "nosuid", "nodev")}
	}
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=64k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=64m"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		bind(l.tmp, "/tmp"),
		bind(l.tmp, "/var/tmp"),
		bind(filepath.Join(l.dir, "hosts"), "/etc/hosts", "ro"),
		bind(filepath.Join(l.dir, "resolv.conf"), "/etc/resolv.conf", "ro"),
	}
}

func environment(spec hoist.ContainerSpec) []string {
	env := map[string]string{
		"HOME": homeDir, "USER": dynoUser, "SHELL": dynoShell,
		"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
	}
	if spec.TTY {
		env["TERM"] = "xterm"
	}
	for k, v := range spec.Env {
		env[k] = v
	}
	if files := grantedNames(spec.Grants); len(files) > 0 {
		env["LISTEN_FDS"], env["LISTEN_FDNAMES"] = strconv.Itoa(len(files)), strings.Join(files, ":")
	}
	var list []string
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

// openFiles limits open files to what many servers want; root without
// CAP_SYS_RESOURCE may not give more than it has.
func openFiles() specs.POSIXRlimit {
	want := uint64(1 << 16)
	var own unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &own) == nil {
		want = min(want, own.Max)
	}
	return specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Hard: want, Soft: want}
}
