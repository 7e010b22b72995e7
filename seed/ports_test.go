package seed

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist"
)

// A dyno of the killed seed listens on an address; the next seed is to have another, perhaps.
func TestASocketOfADynoIsTakenBackOnlyAtTheSameAddress(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	y := bareSystem(t)
	s := y.seed
	s.system, s.cfg.Components = y, []string{hoist.ComponentGit}
	s.cfg.SSHPort = held.Addr().(*net.TCPAddr).Port
	s.cfg.Offer = func(string, *net.TCPListener) {}
	y.dynos["d"] = &systemDyno{Dyno: hoist.Dyno{ID: "d", Type: hoist.ComponentGit}, pid: os.Getpid()}
	for listen, want := range map[string]string{
		"127.0.0.1": held.Addr().String(),
		"127.0.0.2": net.JoinHostPort("127.0.0.2", held.Addr().String()[len("127.0.0.1:"):]), // there is room for it
	} {
		if s.cfg.Listen = listen; s.openPorts() != nil || s.sockets["ssh"].Addr().String() != want {
			t.Errorf("%s: %v, not %s", listen, s.sockets["ssh"], want)
		}
		s.closePorts()
	}
	for _, all := range []string{"", "0.0.0.0", "::"} {
		s.cfg.Listen = all
		if err := s.openPorts(); err == nil || !strings.Contains(err.Error(), "dynos hold "+held.Addr().String()) || !strings.Contains(err.Error(), "hoist down") {
			t.Errorf("%q: %v", all, err)
		}
		if l, err := net.Listen("tcp", s.cfg.listenAddr(0)); err != nil || !s.cfg.listensOn(l.Addr()) {
			t.Errorf("%q is not all: %v", all, err)
		} else {
			l.Close()
		}
	}
}
