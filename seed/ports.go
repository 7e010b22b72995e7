package seed

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/socket"
	"golang.org/x/sys/unix"
)

// ownerOf is the component that accepts on a public socket.
func ownerOf(socket string) string {
	if socket == "ssh" {
		return hoist.ComponentGit
	}
	return hoist.ComponentRouter
}

// openPorts opens the public ports of the components that run inside the seed
// and offers them to these. They stay open while a component is started again.
// After a kill of the seed its dynos have them open: then they are got back
// from these. If they are to be at another address now and that can be opened beside the
// old one, the dynos are replaced, as it is in their environment.
func (s *Seed) openPorts() error {
	s.sockets = map[string]*net.TCPListener{}
	for _, p := range s.cfg.ports() {
		if !slices.Contains(s.cfg.Components, ownerOf(p.socket)) {
			continue
		}
		l, err := net.Listen("tcp", s.cfg.listenAddr(p.port))
		var held net.Addr
		if err != nil {
			for _, pid := range s.system.pids(ownerOf(p.socket)) {
				got, e := listenerOf(pid, p.port)
				if e != nil {
					continue
				}
				if s.cfg.listensOn(got.Addr()) {
					l, err = got, nil
					break
				}
				held = got.Addr()
				got.Close()
			}
		}
		if err != nil && held != nil {
			s.closePorts()
			return fmt.Errorf("port %d (%s): the platform's dynos hold %s, so that %s cannot be opened.\n`hoist down` ends them, and all others; then start again.",
				p.port, p.socket, held, s.cfg.listenAddr(p.port))
		}
		if err != nil {
			s.closePorts()
			return fmt.Errorf("port %d (%s) cannot be opened: %w\nEnd what uses it, or choose another with --%s, %s or %s in the settings file.",
				p.port, p.socket, err, flagOf(p.setting), envOf(p.setting), p.setting)
		}
		s.sockets[p.socket] = l.(*net.TCPListener)
		s.cfg.Offer(p.socket, l.(*net.TCPListener))
	}
	return nil
}

// listensOn reports whether an address is the one that the public ports are to have.
func (s *Settings) listensOn(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	want := net.ParseIP(s.Listen)
	if want == nil || want.IsUnspecified() { // all, be it as 0.0.0.0 or as ::
		return ok && tcp.IP.IsUnspecified()
	}
	return ok && tcp.IP.Equal(want)
}

func (s *Seed) closePorts() {
	for _, l := range s.sockets {
		l.Close()
	}
}

// handOver duplicates the sockets that a component accepts on; close them when
// they have been handed over.
func (s *Seed) handOver(component string) (files []hoist.NamedFile, err error) {
	for _, p := range s.cfg.ports() {
		l := s.sockets[p.socket]
		if l == nil || ownerOf(p.socket) != component {
			continue
		}
		f, err := socket.File(l, p.socket)
		if err != nil {
			return files, err
		}
		files = append(files, hoist.NamedFile{Name: p.socket, File: f})
	}
	return files, nil
}

// listenerOf duplicates the socket on which another process listens on a TCP
// port (pidfd_getfd(2), Linux 5.6).
func listenerOf(pid, port int) (net.Listener, error) {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	defer unix.Close(process)
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if link, err := os.Readlink(dir + "/" + e.Name()); err != nil || !strings.HasPrefix(link, "socket:") {
			continue
		}
		fd, err := unix.PidfdGetfd(process, n, 0)
		if err != nil {
			continue
		}
		unix.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "listener")
		l, err := listener(f, port)
		f.Close()
		if err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("process %d does not listen on port %d", pid, port)
}

// listener is the listener of a socket if it is the one of a TCP port.
func listener(f *os.File, port int) (net.Listener, error) {
	fd := int(f.Fd())
	if accepts, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || accepts == 0 {
		return nil, fmt.Errorf("not a listening socket: %w", err)
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || tcp.Port != port {
		l.Close()
		return nil, fmt.Errorf("another socket: %s", l.Addr())
	}
	return l, nil
}
