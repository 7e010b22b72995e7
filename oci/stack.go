package oci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A stack is the root file system below /app, the same for all containers and
// read-only. It is put together once per Engine on the engine's tmpfs: a skeleton of
// mount points and /etc, and either the host's system directories in it or, as an
// overlay, under it a root file system of its own.
//
// It is not idmapped: in a container its files belong to "nobody", which
// costs nothing and keeps what only root may read unread.

// stackMounts are the directories a container mounts something on, or writes to.
var stackMounts = []string{"app", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "var/lib/hoist", "var/tmp"}

// hostStack are the directories of the host that make the stack "host".
var hostStack = []string{"usr", "bin", "lib", "lib32", "lib64", "libx32", "sbin"}

// hostPackages says what is in them: without it apt would get everything anew that a package needs.
const hostPackages = "var/lib/dpkg/status"

// programs are the names under which the hoist binary is found in a container.
var programs = []string{"hoist-compile", "hoist-static"}

// makeStack mounts the stack and returns its root directory.
func (e *Engine) makeStack(stack, binary string) (string, error) {
	root := filepath.Join(e.mnt, "root")
	skeleton := filepath.Join(e.mnt, "skeleton")
	if stack == "host" {
		skeleton = root
	}
	for _, dir := range stackMounts {
		if err := os.MkdirAll(filepath.Join(skeleton, dir), 0o755); err != nil {
			return "", err
		}
	}
	if stack == "host" {
		if err := makeEtc("/etc", filepath.Join(root, "etc")); err != nil {
			return "", err
		}
		return root, bindHost(root, e.mnt, binary)
	}
	base, err := e.openStack(stack)
	if err != nil {
		return "", err
	}
	if err := makeEtc(filepath.Join(base, "etc"), filepath.Join(skeleton, "etc")); err != nil {
		return "", err
	}
	if err := makePrograms(filepath.Join(skeleton, "usr/local/bin"), binary); err != nil {
		return "", err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	if err := mountLayers(root, skeleton, base); err != nil {
		return "", err
	}
	return root, bindPrograms(root, binary)
}

// openStack returns the directory of a stack that is not the host's.
func (e *Engine) openStack(stack string) (string, error) {
	st, err := os.Stat(stack)
	if err != nil {
		return "", fmt.Errorf("oci: stack: %w; set it to \"host\", a directory or a squashfs image", err)
	}
	if st.IsDir() {
		return stack, nil
	}
	dir := filepath.Join(e.mnt, "stack")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, mountImage(stack, dir, "squashfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
}

func bindHost(root, scratch, binary string) error {
	for _, dir := range hostStack {
		from, to := "/"+dir, filepath.Join(root, dir)
		st, err := os.Lstat(from)
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if st.Mode()&os.ModeSymlink != 0 {
			link, err := os.Readlink(from)
			if err != nil {
				return err
			}
			if err := os.Symlink(link, to); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if err := bindReadOnly(from, to); err != nil {
			return err
		}
	}
	if err := bindPackages(filepath.Join("/", hostPackages), filepath.Join(root, hostPackages)); err != nil {
		return err
	}
	if binary == "" {
		return nil
	}
	bin := filepath.Join(scratch, "bin")
	if err := makePrograms(bin, binary); err != nil {
		return err
	}
	if err := mountLayers(filepath.Join(root, "usr/local/bin"), bin, "/usr/local/bin"); err != nil {
		return err
	}
	return bindPrograms(root, binary)
}

func bindPackages(from, to string) error {
	if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
		return nil // another distribution
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(to, nil, 0o644); err != nil {
		return err
	}
	return bindReadOnly(from, to)
}

// makePrograms makes empty files to mount the programs on.
func makePrograms(dir, binary string) error {
	if binary == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func bindPrograms(root, binary string) error {
	if binary == "" {
		return nil
	}
	for _, name := range programs {
		if err := bindReadOnly(binary, filepath.Join(root, "usr/local/bin", name)); err != nil {
			return err
		}
	}
	return nil
}

func mountLayers(at string, layers ...string) error {
	data := "lowerdir=" + strings.Join(layers, ":")
	if err := unix.Mount("overlay", at, "overlay", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		return fmt.Errorf("oci: mount %s (%s): %w", at, data, err)
	}
	return nil
}

// bindReadOnly shows from, with what is mounted below it, at to.
func bindReadOnly(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("oci: bind %s: %w", from, err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if err := unix.MountSetattr(unix.AT_FDCWD, to, unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("oci: make %s read-only: %w", to, err)
	}
	return nil
}
