package oci

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// settle gives a prepared container its /app and its host name.
func (c *container) settle(hostname string) error {
	app, err := unix.OpenTree(unix.AT_FDCWD, c.layers.app, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("oci: open_tree %s: %w", c.layers.app, err)
	}
	defer unix.Close(app)
	return c.process.inside(func() error {
		if err := unix.MoveMount(app, "", unix.AT_FDCWD, filepath.Clean(homeDir), unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("oci: mount %s: %w", homeDir, err)
		}
		if err := unix.Sethostname([]byte(hostname)); err != nil {
			return fmt.Errorf("oci: host name %q: %w", hostname, err)
		}
		return nil
	})
}

// inside calls f in the mount and UTS namespaces of the process.
func (p *process) inside(f func() error) error {
	return elsewhere(func() error {
		err := p.control(func(fd int) error { return unix.Setns(fd, unix.CLONE_NEWNS|unix.CLONE_NEWUTS) })
		if err != nil {
			return fmt.Errorf("oci: enter the container: %w", err)
		}
		return nil
	}, f)
}
