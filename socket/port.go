package socket

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
)

// FreePort returns a TCP port of 127.0.0.1 on which nobody listens, for somebody who listens
// later, and again after each start. It is none of those that the kernel gives to outgoing connections
// (net.ipv4.ip_local_port_range): one of these could have it by then.
func FreePort() (int, error) {
	const lowest = 10000
	first, last := 32768, 60999 // ip(7)
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		fmt.Sscan(string(text), &first, &last)
	}
	for range 1000 {
		port := lowest + rand.IntN(65536-lowest)
		if port >= first && port <= last && last-first < 65535-lowest {
			continue
		}
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no port of 127.0.0.1 is free")
}
