package oci

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// network gives containers their addresses and interfaces: one veth pair each.
// The host's end has the gateway's address, the same on all, and a route to
// the one container; there is no bridge, so every packet passes the firewall.
type network struct {
	prefix  netip.Prefix
	gateway netip.Addr
	ifaces  string // prefix of interface names
	mtu     int

	mu   sync.Mutex
	last netip.Addr // given most recently; addresses rest as long as possible
	used map[netip.Addr]bool
}

func newNetwork(prefix netip.Prefix, ifaces string) (*network, error) {
	prefix = prefix.Masked()
	if !prefix.Addr().Is4() || prefix.Bits() < 18 || prefix.Bits() > 30 || slices.ContainsFunc(metadataServices, prefix.Overlaps) {
		return nil, fmt.Errorf("oci: network %s: want an IPv4 prefix between /18 and /30, e.g. 10.213.4.0/22", prefix)
	}
	n := &network{prefix: prefix, gateway: prefix.Addr().Next(), ifaces: ifaces, mtu: 1500, used: map[netip.Addr]bool{}}
	n.last = n.gateway
	links, err := listLinks()
	if err != nil {
		return nil, err
	}
	routes, err := defaultRoutes()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		for _, r := range routes {
			if r.LinkIndex == l.Attrs().Index {
				n.mtu = l.Attrs().MTU
			}
		}
	}
	return n, nil
}

// dump asks the kernel for a list: again, if that changed meanwhile and may have holes.
func dump[T any](list func() ([]T, error)) (all []T, err error) {
	for range 50 {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

func listLinks() ([]netlink.Link, error) {
	links, err := dump(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("oci: list interfaces: %w", err)
	}
	return links, nil
}

func defaultRoutes() ([]netlink.Route, error) {
	routes, err := dump(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	})
	if err != nil {
		return nil, fmt.Errorf("oci: list routes: %w", err)
	}
	return routes, nil
}

// gateways returns the host's own gateways: often the machine below this one.
func gateways() ([]netip.Prefix, error) {
	routes, err := defaultRoutes()
	if err != nil {
		return nil, err
	}
	var all []netip.Prefix
	for _, r := range routes {
		if ip, ok := netip.AddrFromSlice(r.Gw); ok && ip.Unmap().Is4() {
			all = append(all, netip.PrefixFrom(ip.Unmap(), 32))
		}
	}
	return all, nil
}

// takeAgain marks an address that a container had before as used, if that is
// one of ours and free.
func (n *network) takeAgain(ip netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !ip.IsValid() || n.used[ip] || !n.prefix.Contains(ip) || !n.prefix.Contains(ip.Next()) || ip.Compare(n.gateway) <= 0 {
		return false
	}
	n.used[ip] = true
	return true
}

// take marks an address as used: ip, or if that is not valid a free one.
func (n *network) take(ip netip.Addr) (netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ip.IsValid() {
		n.used[ip] = true
		return ip, nil
	}
	ip = n.last
	for range 1 << (32 - n.prefix.Bits()) {
		// The last address of the prefix is its broadcast address.
		if ip = ip.Next(); !n.prefix.Contains(ip.Next()) {
			ip = n.gateway.Next()
		}
		if !n.used[ip] {
			n.used[ip] = true
			n.last = ip
			return ip, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("oci: all addresses of %s are in use; give the worker a larger network", n.prefix)
}

// free returns the number of addresses that nobody has.
func (n *network) free() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return 1<<(32-n.prefix.Bits()) - 3 - len(n.used) // but the network's, the host's and the broadcast address
}

func (n *network) release(ip netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.used, ip)
}

// firstID is the host's user and group id for id 0 of the container with an
// address, which thereby has 65,536 ids of its own below 2^31.
func firstID(ip netip.Addr) uint32 {
	b := ip.As4()
	return (0x1000 + uint32(b[2]&0x3f)<<8 + uint32(b[3])) << 16
}

// link is the name of the host's end for an address.
func (n *network) link(ip netip.Addr) string {
	b := ip.As4()
	return fmt.Sprintf("%s%02x%02x", n.ifaces, b[2], b[3])
}

// hardwareAddress is that of one of the two ends for an address: a locally administered one.
func hardwareAddress(end byte, ip netip.Addr) net.HardwareAddr {
	b := ip.As4()
	return net.HardwareAddr{0x0a, end, b[0], b[1], b[2], b[3]}
}

// HoldAddress makes an address the host's own, so that dynos of every engine
// on the machine may reach it.
func HoldAddress(ip netip.Addr) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	if err := netlink.AddrReplace(lo, &netlink.Addr{IPNet: host(ip)}); err != nil {
		return fmt.Errorf("oci: hold %s: %w", ip, err)
	}
	return nil
}

// ReleaseAddress undoes HoldAddress.
func ReleaseAddress(ip netip.Addr) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	if err := netlink.AddrDel(lo, &netlink.Addr{IPNet: host(ip)}); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("oci: release %s: %w", ip, err)
	}
	return nil
}

// HoldNetwork makes those addresses of a network that no dyno has unreachable. Else
// what is sent to a dyno that is gone leaves the machine by its default route, to
// whoever has that address there, or is waited for in vain. It goes with a reboot.
func HoldNetwork(prefix netip.Prefix) error {
	route := unreachable(prefix)
	route.Protocol = unix.RTPROT_KERNEL // systemd-networkd takes others away whenever it configures an interface
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("oci: hold %s: %w", prefix, err)
	}
	return keepFromNetworkd(prefix)
}

// ReleaseNetwork undoes HoldNetwork.
func ReleaseNetwork(prefix netip.Prefix) error {
	if err := netlink.RouteDel(unreachable(prefix)); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("oci: release %s: %w", prefix, err)
	}
	return leaveToNetworkd(prefix)
}

func unreachable(prefix netip.Prefix) *netlink.Route {
	return &netlink.Route{Type: unix.RTN_UNREACHABLE,
		Dst: &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), 32)}}
}

// connect gives the network namespace of process pid its interface. It
// vanishes with the namespace.
func (n *network) connect(pid int, ip netip.Addr) error {
	if err := n.tryConnect(pid, ip); err != nil {
		return fmt.Errorf("oci: network of %s: %w", ip, err)
	}
	return nil
}

func (n *network) tryConnect(pid int, ip netip.Addr) error {
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return err
	}
	defer ns.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Flags = n.link(ip), n.mtu, net.FlagUp
	// An address that the kernel chose is changed by systemd-udevd a moment later (MACAddressPolicy=
	// in systemd.link(5)); a dyno that had asked before that would send to the old one for a minute.
	attrs.HardwareAddr = hardwareAddress(0, ip)
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace, veth.PeerMTU, veth.PeerHardwareAddr = "eth0", netlink.NsFd(ns), uint32(n.mtu), hardwareAddress(1, ip)
	if err := netlink.LinkAdd(veth); errors.Is(err, unix.EEXIST) {
		// The address was used before and its namespace is still dying.
		if err := deleteLink(attrs.Name); err != nil {
			return err
		}
		err = netlink.LinkAdd(veth)
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	// Dynos have no IPv6; without this the kernel announces itself on each link.
	os.WriteFile("/proc/sys/net/ipv6/conf/"+attrs.Name+"/disable_ipv6", []byte("1"), 0)
	if err := netlink.AddrAdd(veth, &netlink.Addr{IPNet: host(n.gateway)}); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(veth); err != nil {
		return err
	}
	if err := n.configure(ns, ip); err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{
		LinkIndex: veth.Index, Dst: host(ip), Src: n.gateway.AsSlice(), Scope: netlink.SCOPE_LINK,
	})
}

// configure sets the container's end up.
func (n *network) configure(ns netns.NsHandle, ip netip.Addr) error {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	for _, name := range []string{"lo", "eth0"} {
		link, err := h.LinkByName(name)
		if err != nil {
			return err
		}
		if name == "eth0" {
			if err := h.AddrAdd(link, &netlink.Addr{IPNet: host(ip)}); err != nil {
				return err
			}
		}
		if err := h.LinkSetUp(link); err != nil {
			return err
		}
		if name == "eth0" {
			return h.RouteAdd(&netlink.Route{
				LinkIndex: link.Attrs().Index, Gw: n.gateway.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
			})
		}
	}
	return nil
}

// links returns the names of the interfaces that are ours.
func (n *network) links() ([]string, error) {
	all, err := listLinks()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range all {
		if strings.HasPrefix(l.Attrs().Name, n.ifaces) {
			names = append(names, l.Attrs().Name)
		}
	}
	return names, nil
}

// removeLinks removes our interfaces but those of addresses in use. Those of
// dead containers go by themselves within moments.
func (n *network) removeLinks() error {
	n.mu.Lock()
	keep := map[string]bool{}
	for ip := range n.used {
		keep[n.link(ip)] = true
	}
	n.mu.Unlock()
	for try := 0; ; try++ {
		names, err := n.links()
		if err != nil {
			return err
		}
		left := 0
		for _, name := range names {
			if keep[name] {
				continue
			}
			left++
			if try == 20 {
				if err := deleteLink(name); err != nil {
					return err
				}
			}
		}
		if left == 0 || try == 20 {
			return nil
		}
		pause()
	}
}

func deleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if errors.As(err, &netlink.LinkNotFoundError{}) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func host(ip netip.Addr) *net.IPNet {
	return &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(32, 32)}
}

// pause is how long to wait for what the kernel does a moment later.
func pause() { time.Sleep(10 * time.Millisecond) }
