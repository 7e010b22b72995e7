package oci

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// attachLoop makes a loop device of a file. It frees itself when its last user
// is gone (LO_FLAGS_AUTOCLEAR): mount it, then close what is returned.
func attachLoop(path string, readOnly bool) (*os.File, error) {
	mode, flags := os.O_RDWR, uint32(unix.LO_FLAGS_AUTOCLEAR)
	if readOnly {
		mode, flags = os.O_RDONLY, flags|unix.LO_FLAGS_READ_ONLY
	}
	backing, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return nil, fmt.Errorf("oci: %w", err)
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("oci: loop devices: %w", err)
	}
	defer control.Close()
	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: flags}}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], path)
	for range 1000 { // a free device may be taken by somebody else first
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("oci: get a free loop device: %w", err)
		}
		dev, err := openLoop(n, mode)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &config)
		if err == nil {
			return dev, nil
		}
		dev.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("oci: loop device for %s: %w", path, err)
		}
	}
	return nil, errors.New("oci: other programs take every free loop device")
}

// openLoop opens /dev/loopN, which in a nested container must be made first.
func openLoop(n, mode int) (*os.File, error) {
	name := fmt.Sprintf("/dev/loop%d", n)
	dev, err := os.OpenFile(name, mode, 0)
	if errors.Is(err, os.ErrNotExist) {
		err = unix.Mknod(name, unix.S_IFBLK|0o600, int(unix.Mkdev(7, uint32(n))))
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("oci: make %s: %w", name, err)
		}
		dev, err = os.OpenFile(name, mode, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("oci: %w", err)
	}
	return dev, nil
}

// mountImage mounts a file system image on dir.
func mountImage(image, dir, fstype string, flags uintptr, data string) error {
	dev, err := attachLoop(image, flags&unix.MS_RDONLY != 0)
	if err != nil {
		return err
	}
	defer dev.Close()
	if err := unix.Mount(dev.Name(), dir, fstype, flags, data); err != nil {
		return fmt.Errorf("oci: mount %s as %s: %w", image, fstype, err)
	}
	return nil
}
