package oci

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// checkKernel says that a kernel is too old, where mount_setattr(2) would say that there is no such function.
func checkKernel() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("oci: uname: %w", err)
	}
	return newEnough(unix.ByteSliceToString(u.Release[:]))
}

// newEnough judges a kernel by its release, such as 6.1.0-40-amd64.
func newEnough(release string) error {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n == 2 && (major < 5 || major == 5 && minor < 12) {
		return fmt.Errorf("oci: this is Linux %s; containers need 5.12 or newer", release)
	}
	return nil
}
