package oci

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// firewall is the engine's own nftables table. It judges only packets from or
// to the engine's interfaces, which it knows by the beginning of their names.
//
// A dyno may reach the internet, name servers, and what its egress list
// names; not the host at any of its addresses, not the host's gateways, no other
// dyno, no metadata service, nothing by IPv6. The host may
// reach a dyno, nobody else. What the host sends to a dyno that is gone is
// refused: it would else leave by the default route, to whoever answers there.
type firewall struct {
	table   *nftables.Table
	egress  *nftables.Set // dyno . address . TCP port
	ifaces  string        // prefix of the names of interfaces
	network netip.Prefix
	denied  []netip.Prefix
	remote  []netip.AddrPort // Config.Denied
	servers *nftables.Set    // name servers

	mu  sync.Mutex
	dns []netip.Addr // those in servers
}

// metadataServices tell a machine in a cloud its secrets: where nearly all have them, and
// those of Azure (its wire server, by which it also resolves names) and Alibaba.
var metadataServices = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("100.100.100.200/32"),
}

func newFirewall(name, ifaces string, network netip.Prefix, denied []netip.Prefix, remote []netip.AddrPort, dns []netip.Addr) *firewall {
	table := &nftables.Table{Name: "hoist-" + name, Family: nftables.TableFamilyINet}
	return &firewall{
		table: table, ifaces: ifaces, network: network, denied: denied, remote: remote, dns: dns,
		servers: &nftables.Set{Table: table, Name: "servers", KeyType: nftables.TypeIPAddr},
		egress: &nftables.Set{
			Table: table, Name: "egress", Concatenation: true,
			KeyType: nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeIPAddr, nftables.TypeInetService),
		},
	}
}

// install replaces the table, in one transaction.
func (f *firewall) install(egress map[netip.Addr][]netip.AddrPort) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("oci: nftables: %w", err)
	}
	c.AddTable(f.table) // so that it can be deleted
	c.DelTable(f.table)
	c.AddTable(f.table)
	var elements []nftables.SetElement
	for ip, to := range egress {
		elements = append(elements, egressElements(ip, to)...)
	}
	if err := c.AddSet(f.egress, elements); err != nil {
		return fmt.Errorf("oci: nftables: %w", err)
	}
	if err := c.AddSet(f.servers, addressElements(f.dns)); err != nil {
		return fmt.Errorf("oci: nftables: %w", err)
	}
	input := f.chain(c, "input", nftables.ChainHookInput, nftables.ChainTypeFilter, nftables.ChainPriorityFilter)
	forward := f.chain(c, "forward", nftables.ChainHookForward, nftables.ChainTypeFilter, nftables.ChainPriorityFilter)
	output := f.chain(c, "output", nftables.ChainHookOutput, nftables.ChainTypeFilter, nftables.ChainPriorityFilter)
	nat := f.chain(c, "postrouting", nftables.ChainHookPostrouting, nftables.ChainTypeNAT, nftables.ChainPriorityNATSource)
	from, to := f.iface(expr.MetaKeyIIFNAME, expr.CmpOpEq), f.iface(expr.MetaKeyOIFNAME, expr.CmpOpEq)
	accept, drop := verdict(expr.VerdictAccept), verdict(expr.VerdictDrop)
	rule := func(chain *nftables.Chain, parts ...[]expr.Any) {
		c.AddRule(&nftables.Rule{Table: f.table, Chain: chain, Exprs: slices.Concat(parts...)})
	}
	for _, chain := range []*nftables.Chain{input, forward} {
		rule(chain, from, replies(), accept)
		rule(chain, from, f.inEgress(), accept)
		rule(chain, from, f.inServers(), port53(), accept)
	}
	rule(input, from, drop)
	for _, p := range slices.Concat(metadataServices, []netip.Prefix{f.network}, f.denied) {
		rule(forward, from, destination(p), drop)
	}
	for _, a := range f.remote {
		rule(forward, from, destination(netip.PrefixFrom(a.Addr(), 32)), protocol(expr.CmpOpEq, unix.IPPROTO_TCP), port(a.Port()), drop)
	}
	rule(forward, from, family(unix.NFPROTO_IPV6), drop)
	rule(forward, from, to, drop)
	rule(forward, to, replies(), accept)
	rule(forward, to, drop)
	rule(output, destination(f.network), f.iface(expr.MetaKeyOIFNAME, expr.CmpOpNeq), notLoopback(), protocol(expr.CmpOpEq, unix.IPPROTO_TCP),
		[]expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
	rule(nat, source(f.network), f.iface(expr.MetaKeyOIFNAME, expr.CmpOpNeq), []expr.Any{&expr.Masq{}})
	if err := c.Flush(); err != nil {
		return fmt.Errorf("oci: install nftables table %s: %w", f.table.Name, err)
	}
	return nil
}

func (f *firewall) chain(c *nftables.Conn, name string, hook *nftables.ChainHook, typ nftables.ChainType, prio *nftables.ChainPriority) *nftables.Chain {
	return c.AddChain(&nftables.Chain{Name: name, Table: f.table, Type: typ, Hooknum: hook, Priority: prio})
}

// allow lets a dyno reach host addresses; forbid takes that back.
func (f *firewall) allow(dyno netip.Addr, to []netip.AddrPort) error {
	return f.change(dyno, to, (*nftables.Conn).SetAddElements)
}

func (f *firewall) forbid(dyno netip.Addr, to []netip.AddrPort) error {
	return f.change(dyno, to, (*nftables.Conn).SetDeleteElements)
}

func (f *firewall) change(dyno netip.Addr, to []netip.AddrPort, how func(*nftables.Conn, *nftables.Set, []nftables.SetElement) error) error {
	if len(to) == 0 {
		return nil
	}
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("oci: nftables: %w", err)
	}
	if err := how(c, f.egress, egressElements(dyno, to)); err != nil {
		return fmt.Errorf("oci: nftables: %w", err)
	}
	if err := c.Flush(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("oci: egress of %s: %w", dyno, err)
	}
	return nil
}

// allowServers lets dynos reach name servers, beside those of which older dynos were told.
func (f *firewall) allowServers(servers []netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	more := slices.DeleteFunc(slices.Clone(servers), func(a netip.Addr) bool { return slices.Contains(f.dns, a) })
	if len(more) == 0 {
		return nil
	}
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("oci: nftables: %w", err)
	}
	if err := c.SetAddElements(f.servers, addressElements(more)); err != nil {
		return fmt.Errorf("oci: nftables: %w", err)
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("oci: name servers %s: %w", more, err)
	}
	f.dns = append(f.dns, more...)
	return nil
}

// remove deletes the table.
func (f *firewall) remove() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("oci: nftables: %w", err)
	}
	c.DelTable(f.table)
	if err := c.Flush(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("oci: delete nftables table: %w", err)
	}
	return nil
}

func addressElements(addresses []netip.Addr) (elements []nftables.SetElement) {
	for _, a := range addresses {
		elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
	}
	return elements
}

func egressElements(dyno netip.Addr, to []netip.AddrPort) []nftables.SetElement {
	seen := map[netip.AddrPort]bool{}
	var elements []nftables.SetElement
	for _, a := range to {
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		if !a.Addr().Is4() || seen[a] {
			continue
		}
		seen[a] = true
		key := slices.Concat(dyno.AsSlice(), a.Addr().AsSlice(), binary.BigEndian.AppendUint16(nil, a.Port()), []byte{0, 0})
		elements = append(elements, nftables.SetElement{Key: key})
	}
	return elements
}

// The rest are the parts of rules. Registers from 8 on are 32 bit wide, so that
// adjacent ones make a concatenated key.

const ipSource, ipDestination = 12, 16 // offsets in the IPv4 header

func (f *firewall) iface(key expr.MetaKey, op expr.CmpOp) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: []byte(f.ifaces)},
	}
}

// notLoopback excludes what goes to the host itself, at its address for dynos.
func notLoopback() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte("lo\x00")},
	}
}

func family(proto byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
	}
}

func replies() []expr.Any {
	states := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: states, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

func address(offset uint32, p netip.Prefix) []expr.Any {
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-p.Bits()))
	return append(family(unix.NFPROTO_IPV4),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()})
}

func source(p netip.Prefix) []expr.Any      { return address(ipSource, p) }
func destination(p netip.Prefix) []expr.Any { return address(ipDestination, p) }

func (f *firewall) inEgress() []expr.Any {
	return append(append(family(unix.NFPROTO_IPV4), protocol(expr.CmpOpEq, unix.IPPROTO_TCP)...),
		&expr.Payload{DestRegister: 8, Base: expr.PayloadBaseNetworkHeader, Offset: ipSource, Len: 4},
		&expr.Payload{DestRegister: 9, Base: expr.PayloadBaseNetworkHeader, Offset: ipDestination, Len: 4},
		&expr.Payload{DestRegister: 10, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: 8, SetName: f.egress.Name, SetID: f.egress.ID})
}

func (f *firewall) inServers() []expr.Any {
	return append(family(unix.NFPROTO_IPV4),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: ipDestination, Len: 4},
		&expr.Lookup{SourceRegister: 1, SetName: f.servers.Name, SetID: f.servers.ID})
}

// port53 matches DNS: TCP and UDP have the port at the same place, and ICMP is excluded.
func port53() []expr.Any {
	return append(protocol(expr.CmpOpNeq, unix.IPPROTO_ICMP), port(53)...)
}

func port(number uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, number)},
	}
}

func protocol(op expr.CmpOp, proto byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: []byte{proto}},
	}
}

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }

// otherTables reports whether there are firewalls of other engines.
func otherTables() (bool, error) {
	c, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("oci: nftables: %w", err)
	}
	tables, err := c.ListTables()
	if err != nil {
		return false, fmt.Errorf("oci: list nftables: %w", err)
	}
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool { return strings.HasPrefix(t.Name, "hoist-") }), nil
}
