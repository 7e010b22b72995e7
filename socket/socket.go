// Package socket gets listening sockets from whoever holds them: from the
// parent process, as systemd's socket activation hands them over
// (sd_listen_fds(3)), or from this very process. The holder keeps them open
// while who accepts on them comes and goes, so that no connection is refused.
package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// firstFD is SD_LISTEN_FDS_START.
const firstFD = 3

var held struct {
	sync.Mutex
	inherit   sync.Once
	err       error // of inheriting
	listeners map[string]*net.TCPListener
}

// Listen returns the listening socket called name if this process holds one,
// and else listens on the TCP address. Closing it leaves the held socket open:
// connections queue there until somebody listens again.
func Listen(name, address string) (net.Listener, error) {
	held.Lock()
	defer held.Unlock()
	if err := inherit(); err != nil {
		return nil, err
	}
	l, ok := held.listeners[name]
	if !ok {
		return net.Listen("tcp", address)
	}
	return dup(name, l)
}

// Inherit takes the sockets that were handed over to this process. To be called
// before it starts others, to which they are not meant to go.
func Inherit() error {
	held.Lock()
	defer held.Unlock()
	return inherit()
}

// Held returns the listening socket called name; nil if this process holds none.
func Held(name string) (net.Listener, error) {
	held.Lock()
	defer held.Unlock()
	if err := inherit(); err != nil || held.listeners[name] == nil {
		return nil, err
	}
	return dup(name, held.listeners[name])
}

// Offer makes Listen(name, …) return l to the components that run inside this
// process.
func Offer(name string, l *net.TCPListener) {
	held.Lock()
	defer held.Unlock()
	inherit() // an error stays for Listen
	if held.listeners == nil {
		held.listeners = make(map[string]*net.TCPListener)
	}
	held.listeners[name] = l
}

func dup(name string, l *net.TCPListener) (net.Listener, error) {
	f, err := File(l, name)
	if err != nil {
		return nil, fmt.Errorf("socket %q: %w", name, err)
	}
	defer f.Close()
	return net.FileListener(f)
}

// inherit takes the sockets the parent handed over, once, and clears the
// variables that say so: they are not meant for our children.
func inherit() error {
	held.inherit.Do(func() {
		names, err := parse(os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES"), os.Getenv("LISTEN_PID"), os.Getpid())
		for _, v := range []string{"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"} {
			os.Unsetenv(v)
		}
		if err == nil {
			held.listeners, err = take(firstFD, names)
		}
		held.err = err
	})
	return held.err
}

// take turns consecutive file descriptors into listeners.
func take(first int, names []string) (map[string]*net.TCPListener, error) {
	listeners := make(map[string]*net.TCPListener)
	for i, name := range names {
		fd := first + i
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), name)
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("socket %q (file descriptor %d of LISTEN_FDS): %w", name, fd, err)
		}
		tcp, ok := l.(*net.TCPListener)
		if !ok {
			return nil, fmt.Errorf("socket %q (file descriptor %d of LISTEN_FDS) is not a TCP socket", name, fd)
		}
		if listeners[name] != nil {
			return nil, fmt.Errorf("LISTEN_FDNAMES names %q twice", name)
		}
		listeners[name] = tcp
	}
	return listeners, nil
}

// parse returns the names of the sockets handed over, in order. LISTEN_PID may
// be missing, since who passes sockets through exec.Cmd cannot know it before;
// if it is another process's, nothing is meant for us.
func parse(fds, fdnames, pid string, self int) ([]string, error) {
	if fds == "" || pid != "" && pid != strconv.Itoa(self) {
		return nil, nil
	}
	n, err := strconv.Atoi(fds)
	if err != nil || n < 0 || n > 1024 {
		return nil, fmt.Errorf("LISTEN_FDS: %q is not a number of file descriptors", fds)
	}
	if n == 0 {
		return nil, nil
	}
	if fdnames == "" {
		return nil, errors.New("LISTEN_FDS is set but LISTEN_FDNAMES is not: the sockets need names")
	}
	names := strings.Split(fdnames, ":")
	if len(names) != n {
		return nil, fmt.Errorf("LISTEN_FDS says %d sockets, LISTEN_FDNAMES names %d", n, len(names))
	}
	return names, nil
}
