package socket_test

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/socket"
)

func TestConnectionsOfOthersAreCounted(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp"} { // of a socket of IPv4, and of one of both
		bind := map[string]string{"tcp4": "127.0.0.2:0", "tcp": "[::]:0"}[network]
		l, err := net.Listen(network, bind)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), uint16(l.Addr().(*net.TCPAddr).Port))
		becomes := func(want int) {
			t.Helper()
			var n int
			for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(10 * time.Millisecond) {
				if n, err = socket.Connections(os.Getpid(), to); err != nil {
					t.Fatal(err)
				}
				if n == want {
					return
				}
			}
			t.Fatalf("%s: %d connections, not %d", network, n, want)
		}
		dial := func(from string) net.Conn {
			t.Helper()
			c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp4", to.String())
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		becomes(0)
		a, b := dial("127.0.0.1"), dial("127.0.0.3")
		defer dial("127.0.0.2").Close() // its own
		becomes(2)
		a.Close() // and nobody closes the other end
		becomes(1)
		b.Close()
		becomes(0)
	}
	if _, err := socket.Connections(1<<30, netip.AddrPort{}); err == nil {
		t.Error("there is no such process")
	}
}
