package oci

import (
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// outerEnv is the file descriptor of the mount namespace that Isolate left.
const outerEnv = "HOIST_OUTER_NAMESPACE"

// outerFD is the lowest number it gets: out of the way of sockets handed over.
const outerFD = 100

func openOuter() (fd int, err error) {
	if fd, err = unix.Open("/proc/self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD, outerFD)
}

// takeOuter keeps it from the programs that we start: it leads out of containers.
var takeOuter = sync.OnceValue(func() int {
	fd, err := strconv.Atoi(os.Getenv(outerEnv))
	os.Unsetenv(outerEnv)
	if err != nil || fd < outerFD {
		return -1
	}
	unix.CloseOnExec(fd)
	return fd
})

// Outside calls f in the mount namespace that Isolate left, if that is known. What is
// started to outlive this process belongs there: it would else keep ours, with all that
// is mounted there.
func Outside(f func() error) error {
	fd := takeOuter()
	if fd < 0 {
		return f()
	}
	return elsewhere(func() error { return unix.Setns(fd, unix.CLONE_NEWNS) }, f)
}

// PassOuter hands it over to the program that this process executes next.
func PassOuter() {
	if fd := takeOuter(); fd >= 0 {
		unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		os.Setenv(outerEnv, strconv.Itoa(fd))
	}
}
