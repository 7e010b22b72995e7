package socket_test

import (
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/hoist-sh/hoist/socket"
)

// No outgoing connection gets a port that is meant for a listener.
func TestFreePort(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Skip(err)
	}
	var first, last int
	fmt.Sscan(string(text), &first, &last)
	if first <= 10000 && last == 65535 {
		t.Skip("outgoing connections get all ports here")
	}
	for range 50 {
		port, err := socket.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if port >= first && port <= last {
			t.Errorf("an outgoing connection may have port %d", port)
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}
