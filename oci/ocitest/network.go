// Package ocitest gives tests what only one of all the tests on a machine may have at a time.
package ocitest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
)

// Network returns a /18 for dynos, from 10.128.0.0 to 10.239.255.255, to which the machine has no route.
// No other test gets it as long as this process lives, even if it has no address in it for a while.
func Network() (netip.Prefix, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return netip.Prefix{}, err
	}
	for range 1000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(128 + rand.IntN(112)), byte(64 * rand.IntN(4)), 0}), 18)
		if slices.ContainsFunc(routes, func(r netlink.Route) bool { return leadsInto(r, p) }) {
			continue
		}
		// In the abstract namespace (unix(7)), so that the claim goes with the process.
		claim, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "@hoist-test-network/" + p.String(), Net: "unixgram"})
		if err == nil {
			claims.Store(p, claim)
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("no network is free for a test")
}

// claims are those of this process; one that nobody holds would be closed.
var claims sync.Map

func leadsInto(r netlink.Route, p netip.Prefix) bool {
	if r.Dst == nil {
		return false
	}
	to, ok := netip.AddrFromSlice(r.Dst.IP.To4())
	bits, _ := r.Dst.Mask.Size()
	return ok && bits > 0 && netip.PrefixFrom(to, bits).Overlaps(p)
}
