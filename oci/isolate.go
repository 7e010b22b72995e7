package oci

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// isolatedEnv names the mount namespace that Isolate made, so that the
// re-executed program and its children know they are in it.
const isolatedEnv = "HOIST_MOUNT_NAMESPACE"

const hybridCgroup = "/sys/fs/cgroup/unified"

// Isolate moves the program into a mount namespace of its own by executing it
// again, once: same pid, arguments, environment and inherited descriptors
// (LISTEN_FDS keeps its meaning). Call it first thing in main, or in TestMain,
// of every process that makes an Engine. In a process that is already isolated,
// or a child of one, it does nothing.
//
// Mounts of the host go on appearing in the namespace; none of ours appears
// on the host, and all of ours vanish with the last process that uses them.
func Isolate() error {
	if isolated() {
		takeOuter()
		return nil
	}
	// By its name: the file behind /proc/self/exe is on a mount of the old
	// namespace, where nobody finds it by its path any more.
	self, err := os.Executable()
	if err != nil || !sameFile(self, "/proc/self/exe") {
		self = "/proc/self/exe"
	}
	outer, err := openOuter()
	if err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	// unshare(2) moves only this thread; execve(2) then makes it the process.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("oci: a private mount namespace needs root (CAP_SYS_ADMIN): %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("oci: make mounts private: %w", err)
	}
	// crun refuses a host with cgroup v1 controllers beside a cgroup2 mount;
	// hiding the latter, from us only, makes it use v1. It makes directories there.
	if isCgroup2(hybridCgroup) {
		if err := unix.Mount("none", hybridCgroup, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=700"); err != nil {
			return fmt.Errorf("oci: hide %s: %w", hybridCgroup, err)
		}
	}
	ns, err := os.Readlink("/proc/thread-self/ns/mnt")
	if err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	env := os.Environ()
	kept := env[:0]
	for _, v := range env {
		if !strings.HasPrefix(v, isolatedEnv+"=") && !strings.HasPrefix(v, outerEnv+"=") {
			kept = append(kept, v)
		}
	}
	err = unix.Exec(self, os.Args, append(kept, isolatedEnv+"="+ns, outerEnv+"="+strconv.Itoa(outer)))
	return fmt.Errorf("oci: execute %s again: %w", os.Args[0], err)
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

func isolated() bool {
	ns, err := os.Readlink("/proc/self/ns/mnt")
	return err == nil && os.Getenv(isolatedEnv) == ns
}

func isCgroup2(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}
