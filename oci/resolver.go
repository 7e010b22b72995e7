package oci

import (
	"net/netip"
	"os"
	"slices"
	"strings"
)

// hostResolver returns a resolv.conf for dynos and the name servers in it.
// Where the host asks itself (a name server on a loopback address, which is
// another machine to a dyno), those are used that systemd-resolved asks.
func hostResolver() (text []byte, servers []netip.Addr) {
	for _, path := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if text, servers = parseResolver(string(data)); len(servers) > 0 {
			break
		}
	}
	return text, servers
}

// parseResolver keeps of a resolv.conf (resolv.conf(5)) what holds in a dyno, too,
// which has no IPv6.
func parseResolver(conf string) (text []byte, servers []netip.Addr) {
	for line := range strings.Lines(conf) {
		words := strings.Fields(line)
		if len(words) < 2 || !slices.Contains([]string{"nameserver", "search", "domain", "options"}, words[0]) {
			continue
		}
		if words[0] == "nameserver" {
			server, err := netip.ParseAddr(words[1])
			if err != nil || !server.Is4() || server.IsLoopback() {
				continue
			}
			if !slices.Contains(servers, server) {
				servers = append(servers, server)
			}
		}
		text = append(text, strings.Join(words, " ")+"\n"...)
	}
	return text, servers
}
