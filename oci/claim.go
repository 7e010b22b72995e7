package oci

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/google/nftables"
	"github.com/hoist-sh/hoist"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Engines whose networks overlap would send each other's packets to the wrong dynos
// and drop them by the wrong firewall. So each says which network is its own by the name
// of a socket in the abstract namespace (unix(7)), which belongs to the network
// namespace, as the addresses do, and goes with its process. Of an engine that has
// died the dynos go on, and the routes to them tell.

const claimPrefix = "@hoist-network/"

// claim reserves the engine's network, or says who has it.
func (e *Engine) claim(name string) error {
	own := claimPrefix + e.network.prefix.String() + "/" + name + "/" + hoist.NewID()
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: own, Net: "unix"})
	if err != nil {
		return fmt.Errorf("oci: claim the network: %w", err)
	}
	other, network, err := claimed(own, e.network.prefix)
	if err == nil && other == "" {
		other, network, err = e.routed()
	}
	if err == nil && other != "" {
		err = fmt.Errorf("oci: network %s of engine %q overlaps with %s of engine %q on this machine; give each a network of its own",
			e.network.prefix, name, network, other)
	}
	if err != nil {
		socket.Close()
		return err
	}
	e.claimed = socket
	return nil
}

// claimed returns a running engine whose network overlaps with one.
func claimed(own string, network netip.Prefix) (name string, its netip.Prefix, err error) {
	list, err := os.ReadFile("/proc/self/net/unix")
	if err != nil {
		return "", its, fmt.Errorf("oci: %w", err)
	}
	for line := range strings.Lines(string(list)) {
		_, path, ok := strings.Cut(strings.TrimSpace(line), " "+claimPrefix)
		if !ok || claimPrefix+path == own {
			continue
		}
		if name, its, ok := parseClaim(path); ok && its.Overlaps(network) && listenedByRoot(claimPrefix+path) {
			return name, its, nil
		}
	}
	return "", its, nil
}

// parseClaim reads the rest of a claim: ADDRESS/BITS/NAME/ID.
func parseClaim(text string) (name string, network netip.Prefix, ok bool) {
	parts := strings.Split(text, "/")
	if len(parts) != 4 || !namePattern.MatchString(parts[2]) {
		return "", network, false
	}
	network, err := netip.ParsePrefix(parts[0] + "/" + parts[1])
	return parts[2], network, err == nil && network == network.Masked()
}

// listenedByRoot keeps other users of the machine from claiming anything.
func listenedByRoot(socket string) bool {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return false // it is gone
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	root := false
	raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		root = err == nil && cred.Uid == 0
	})
	return root
}

// routed returns an engine that is not running, but has dynos in our network.
func (e *Engine) routed() (name string, its netip.Prefix, err error) {
	c, err := nftables.New()
	if err != nil {
		return "", its, fmt.Errorf("oci: nftables: %w", err)
	}
	tables, err := c.ListTables()
	if err != nil {
		return "", its, fmt.Errorf("oci: list nftables: %w", err)
	}
	for _, t := range tables {
		name, ok := strings.CutPrefix(t.Name, "hoist-")
		if !ok || InterfacePrefix(name) == e.network.ifaces {
			continue
		}
		links, err := (&network{ifaces: InterfacePrefix(name)}).links()
		if err != nil {
			return "", its, err
		}
		for _, l := range links {
			if its, err := routeTo(l); err != nil || its.Overlaps(e.network.prefix) {
				return name, its, err
			}
		}
	}
	return "", its, nil
}

// routeTo returns where the route through an interface goes; nowhere if it has none.
func routeTo(link string) (to netip.Prefix, err error) {
	l, err := netlink.LinkByName(link)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return to, nil
	} else if err != nil {
		return to, fmt.Errorf("oci: interface %s: %w", link, err)
	}
	routes, err := dump(func() ([]netlink.Route, error) { return netlink.RouteList(l, netlink.FAMILY_V4) })
	if err != nil {
		return to, fmt.Errorf("oci: list routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		if ip, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok {
			ones, _ := r.Dst.Mask.Size()
			return netip.PrefixFrom(ip, ones), nil
		}
	}
	return to, nil
}
