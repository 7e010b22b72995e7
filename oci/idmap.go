package oci

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Inside a container the dyno's user is 1000, as are the files below /app.
const (
	dynoUID   = 1000
	uidRange  = 1 << 16
	dynoUser  = "dyno"
	homeDir   = "/app"
	dynoShell = "/bin/bash"
)

var errNoIdmap = errors.New("oci: the file system cannot be idmapped")

// bindIdmapped shows the mount at from again at the new directory to, where files of owner belong to the
// dyno's user in the container whose user ids begin at base. Other owners
// keep their number (owner and dyno's user change places). Linux 5.12; as a
// layer of an overlay 5.19; a squashfs 6.2. A file system that cannot is errNoIdmap.
func bindIdmapped(from, to string, owner, base uint32) error {
	ns, err := userNamespace(owner, base)
	if err != nil {
		return fmt.Errorf("oci: user namespace for an idmapped mount: %w", err)
	}
	defer ns.Close()
	tree, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("oci: open_tree %s: %w", from, err)
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{
		Attr_set:  unix.MOUNT_ATTR_IDMAP | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV,
		Userns_fd: uint64(ns.Fd()),
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: %s", errNoIdmap, from)
	} else if err != nil {
		return fmt.Errorf("oci: idmap %s: %w", from, err)
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("oci: move_mount %s: %w", to, err)
	}
	return nil
}

// userNamespace returns a user namespace with the mapping of bindIdmapped. A
// namespace begins with a process: a child that is stopped before its exec
// (ptrace) lends its own and is killed.
func userNamespace(owner, base uint32) (*os.File, error) {
	cmd := exec.Command("/proc/self/exe")
	mapping := swapIDs(int(owner), int(base))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: mapping, GidMappings: mapping,
		Ptrace: true, Pdeathsig: syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	return os.Open(fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid))
}

// swapIDs maps all ids to base+id, but exchanges owner and dynoUID.
func swapIDs(owner, base int) []syscall.SysProcIDMap {
	if owner == dynoUID || owner >= uidRange {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: base, Size: uidRange}}
	}
	low, high, atLow, atHigh := owner, dynoUID, base+dynoUID, base+owner
	if low > high {
		low, high, atLow, atHigh = high, low, atHigh, atLow
	}
	all := []syscall.SysProcIDMap{
		{ContainerID: 0, HostID: base, Size: low},
		{ContainerID: low, HostID: atLow, Size: 1},
		{ContainerID: low + 1, HostID: base + low + 1, Size: high - low - 1},
		{ContainerID: high, HostID: atHigh, Size: 1},
		{ContainerID: high + 1, HostID: base + high + 1, Size: uidRange - high - 1},
	}
	used := all[:0]
	for _, m := range all {
		if m.Size > 0 {
			used = append(used, m)
		}
	}
	return used
}
