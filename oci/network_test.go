package oci_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/oci"
	"github.com/vishvananda/netlink"
)

// serve listens on all addresses of the host and answers "host".
func serve(t *testing.T) (port uint16) {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "host\n")
			c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

func hostAddresses(t *testing.T) []netip.Addr {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var all []netip.Addr
	for _, a := range addrs {
		ip, err := netip.ParsePrefix(a.String())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ip.Addr())
	}
	return all
}

const tryAll = `for a in $TARGETS; do timeout 0.5 bash -c "exec 3<>/dev/tcp/${a%%%%,*}/${a##*,} && cat <&3 && echo reached $a" 2>/dev/null; done; echo done %d`

// connectAll asks for connections alone: there are networks where everything answers them, and says no more.
const connectAll = `for a in $TARGETS; do timeout 0.5 bash -c "exec 3<>/dev/tcp/${a%%,*}/${a##*,}" 2>/dev/null && echo reached $a; done; echo done`

// web starts a dyno that answers "dyno" on port 5000.
func web(t *testing.T, e *oci.Engine) (hoist.ContainerSpec, netip.Addr) {
	t.Helper()
	s := start(t, e, spec(`exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 5000, Listen => 5, ReuseAddr => 1) or die; $| = 1; print "up\n"; while ($c = $s->accept) { print $c "dyno\n"; close $c }'`))
	var out lines
	go e.Watch(t.Context(), s.ID, &out)
	out.wait(t, "up")
	list, err := e.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if c.ID == s.ID {
			return s, c.IP
		}
	}
	t.Fatal("not listed")
	return s, netip.Addr{}
}

func TestHostReachesDyno(t *testing.T) {
	e := newEngine(t)
	_, ip := web(t, e)
	conn, err := net.DialTimeout("tcp", netip.AddrPortFrom(ip, 5000).String(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "dyno\n" {
		t.Fatalf("got %q, %v", line, err)
	}
}

// The dyno itself never closes one.
func TestConnectionsOfClientsAreCounted(t *testing.T) {
	e := newEngine(t)
	s := start(t, e, spec(`exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 5000, Listen => 5) or die; $| = 1; print "up\n"; push @c, $c while $c = $s->accept'`))
	var out lines
	go e.Watch(t.Context(), s.ID, &out)
	out.wait(t, "up")
	list, err := e.List(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	var clients []net.Conn
	for range 2 {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(list[0].IP, 5000).String(), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	for want := 2; want >= 0; want-- {
		n := -1
		eventually(t, func() bool {
			if n, err = e.Connections(t.Context(), s.ID, 5000); err != nil {
				t.Fatal(err)
			}
			return n == want
		}, func() string { return fmt.Sprintf("%d connections, not %d", n, want) })
		if n, err := e.Connections(t.Context(), s.ID, 5001); n != 0 || err != nil {
			t.Errorf("%d to another port, %v", n, err)
		}
		if want > 0 {
			clients[want-1].Close()
		}
	}
	if err := e.Remove(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Connections(t.Context(), s.ID, 5000); !errors.Is(err, hoist.ErrNotFound) {
		t.Error(err)
	}
}

// systemd-udevd changes the hardware addresses that the kernel chose, but not what was set (NET_ADDR_SET is 3).
func TestHardwareAddressesAreSet(t *testing.T) {
	e := newEngine(t)
	out, exit := run(t, e, spec(`ip link show eth0`))
	if !strings.Contains(out, "link/ether 0a:01:0a:") {
		t.Errorf("in the dyno: %q, %+v", out, exit)
	}
	_, ip := web(t, e)
	b := ip.As4()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if a := l.Attrs(); strings.HasSuffix(a.Name, fmt.Sprintf("-%02x%02x", b[2], b[3])) {
			kind, err := os.ReadFile("/sys/class/net/" + a.Name + "/addr_assign_type")
			if want := fmt.Sprintf("0a:00:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3]); string(kind) != "3\n" || a.HardwareAddr.String() != want {
				t.Errorf("%s has %s of kind %q, %v; want %s", a.Name, a.HardwareAddr, kind, err, want)
			}
			return
		}
	}
	t.Error("the dyno has no link")
}

func TestDynoHasItsAddressAgain(t *testing.T) {
	e := newEngine(t, func(c *oci.Config) { c.Spares = 1 })
	begun := func(ip netip.Addr) (hoist.ContainerSpec, netip.Addr) {
		t.Helper()
		s := spec("sleep 1000")
		s.IP = ip
		start(t, e, s)
		list, err := e.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(c hoist.Container) bool { return c.ID == s.ID })
		return s, list[i].IP
	}
	first, had := begun(netip.Addr{})
	if _, ip := begun(had); ip == had {
		t.Errorf("two have %s", ip)
	}
	if err := e.Remove(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	if _, ip := begun(had); ip != had {
		t.Errorf("it has %s, not %s", ip, had)
	}
	for _, ip := range []string{"192.0.2.1", had.Prev().String()} { // not ours; the gateway
		if _, got := begun(netip.MustParseAddr(ip)); got.String() == ip {
			t.Errorf("it has %s", ip)
		}
	}
}

// What is sent to a dyno that is gone must not leave the machine.
func TestDynoThatIsGoneRefusesTheHost(t *testing.T) {
	e := newEngine(t)
	s, ip := web(t, e)
	if err := e.Remove(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", netip.AddrPortFrom(ip, 5000).String(), 5*time.Second)
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("got %v", err)
	}
}

func TestDynoReachesNeitherHostNorOthers(t *testing.T) {
	e := newEngine(t)
	port := serve(t)
	_, other := web(t, e)
	targets := []string{other.String() + ",5000"}
	for _, ip := range hostAddresses(t) { // has the gateway's, now that a dyno runs
		targets = append(targets, fmt.Sprintf("%s,%d", ip, port))
	}
	s := spec(fmt.Sprintf(tryAll, len(targets)))
	s.Env = map[string]string{"TARGETS": strings.Join(targets, " ")}
	if out, _ := run(t, e, s); out != fmt.Sprintf("done %d\n", len(targets)) {
		t.Fatalf("of %v: %s", targets, out)
	}
}

func TestMetadataServicesAreNotReached(t *testing.T) {
	s := spec(connectAll)
	s.Env = map[string]string{"TARGETS": "169.254.169.254,80 168.63.129.16,80 100.100.100.200,80"}
	if out, _ := run(t, newEngine(t), s); out != "done\n" {
		t.Error(out)
	}
}

// outside makes a machine beyond this one, a network namespace of its own, which answers "outside" on two ports.
func outside(t *testing.T) (ip netip.Addr, port, other uint16) {
	t.Helper()
	name := fmt.Sprintf("hoist-%04x", rand.IntN(1<<16))
	ours := netip.AddrFrom4([4]byte{198, 18, byte(rand.IntN(256)), byte(4*rand.IntN(64) + 1)})
	ip, port, other = ours.Next(), 5432, 5433
	t.Cleanup(func() {
		exec.Command("ip", "link", "del", name).Run()
		exec.Command("ip", "netns", "del", name).Run()
	})
	for _, args := range [][]string{
		{"netns", "add", name},
		{"link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name},
		{"addr", "add", ours.String() + "/30", "dev", name}, {"link", "set", name, "up"},
		{"-n", name, "addr", "add", ip.String() + "/30", "dev", "eth0"}, {"-n", name, "link", "set", "eth0", "up"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	for _, p := range []uint16{port, other} {
		server := exec.Command("ip", "netns", "exec", name, "perl", "-MIO::Socket::INET", "-e",
			`$s = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 5, ReuseAddr => 1) or die; while ($c = $s->accept) { print $c "outside\n"; close $c }`, fmt.Sprint(p))
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Process.Kill(); server.Wait() })
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if c, err := net.Dial("tcp", netip.AddrPortFrom(ip, p).String()); err == nil {
				c.Close()
				break
			} else if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	return ip, port, other
}

// A part of the ground that is on another machine is no more reached than one on this.
func TestServicesElsewhereCanBeDenied(t *testing.T) {
	ip, port, other := outside(t)
	denied, open := netip.AddrPortFrom(ip, port), netip.AddrPortFrom(ip, other)
	e := newEngine(t, func(c *oci.Config) { c.Denied = []netip.AddrPort{denied} })
	s := spec(fmt.Sprintf(tryAll, 2))
	s.Env = map[string]string{"TARGETS": fmt.Sprintf("%s,%d %[1]s,%[3]d", ip, port, other)}
	if out, _ := run(t, e, s); out != fmt.Sprintf("outside\nreached %s,%d\ndone 2\n", ip, open.Port()) {
		t.Errorf("got %q", out)
	}
	s = spec(s.Command)
	s.Env = map[string]string{"TARGETS": fmt.Sprintf("%s,%d", ip, port)}
	s.Egress = []netip.AddrPort{denied}
	if out, _ := run(t, e, s); !strings.HasPrefix(out, "outside\n") {
		t.Errorf("a dyno that may got %q", out)
	}
}

func TestEgressListOpensWhatItNames(t *testing.T) {
	e := newEngine(t)
	port, closed := serve(t), serve(t)
	_, other := web(t, e)
	gateway := other.Prev() // the first dyno's neighbour
	s := spec(fmt.Sprintf(tryAll, 2))
	s.Env = map[string]string{"TARGETS": fmt.Sprintf("%s,%d %[1]s,%[3]d", gateway, port, closed)}
	s.Egress = []netip.AddrPort{netip.AddrPortFrom(gateway, port)}
	out, _ := run(t, e, s)
	if want := fmt.Sprintf("host\nreached %s,%d\ndone 2\n", gateway, port); out != want {
		t.Fatalf("got %q, want %q", out, want)
	}
	s = spec(s.Command) // and the next dyno gets none of it
	s.Env = map[string]string{"TARGETS": fmt.Sprintf("%s,%d", gateway, port)}
	if out, _ := run(t, e, s); out != "done 2\n" {
		t.Fatalf("got %q", out)
	}
}

// A machine that gets its network late, or another one, has other name servers than when its engine began.
func TestNameServersOfTheHostCanChange(t *testing.T) {
	ip := netip.AddrFrom4([4]byte{198, 19, byte(rand.IntN(256)), byte(rand.IntN(256))})
	t.Cleanup(func() { exec.Command("ip", "addr", "del", ip.String()+"/32", "dev", "lo").Run() })
	if out, err := exec.Command("ip", "addr", "add", ip.String()+"/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(ip, 53).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e := newEngine(t)
	reached := func() string {
		s := spec(connectAll)
		s.Env = map[string]string{"TARGETS": ip.String() + ",53"}
		out, _ := run(t, e, s)
		return out
	}
	if out := reached(); out != "done\n" {
		t.Errorf("before, got %q", out)
	}
	for range 2 {
		if err := oci.UseNameServer(e, ip); err != nil {
			t.Fatal(err)
		}
		if out := reached(); out != "reached "+ip.String()+",53\ndone\n" {
			t.Errorf("got %q", out)
		}
	}
}

func TestAnAddressWithoutADynoIsUnreachable(t *testing.T) {
	network := netip.MustParsePrefix("10.247.63.0/28")
	if err := oci.HoldNetwork(network); err != nil {
		t.Fatal(err)
	}
	defer oci.ReleaseNetwork(network)
	if err := oci.HoldNetwork(network); err != nil {
		t.Error("again:", err)
	}
	if conn, err := net.DialTimeout("tcp", "10.247.63.5:5000", 2*time.Second); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Error(conn, err)
	}
	for range 2 {
		if err := oci.ReleaseNetwork(network); err != nil {
			t.Error(err)
		}
	}
}
