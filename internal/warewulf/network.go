package warewulf

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
)

// bootNetwork is the name of the network that nodes boot on, as samara init has it.
const bootNetwork = "boot"

// A wire is a network that is made up of what the site says.
type wire struct {
	prefix    netip.Prefix
	name      string // of the device whose nodes have addresses in it, or bootNetwork
	file      string
	line      int
	boot      bool
	addresses []netip.Addr
	gateways  map[netip.Addr]bool // of all devices in it; the zero address for those without
}

// networks returns the networks that nodes have addresses in: the one of warewulf.conf, and those that the addresses
// and masks of nodes tell of. Addresses that fit none are taken away.
func (r *reader) networks(s *server, serverFile, nodesFile string) []fleet.Network {
	var wires []*wire
	if s != nil {
		r.file = serverFile
		switch p, ok := s.subnet(); {
		case s.line == 0 && !s.network.IsValid():
		case !ok:
			r.note(Left, s.line, ref{}, "ipaddr", "there is no netmask, which Warewulf then asks the server for", "samara network add "+bootNetwork+" --subnet SUBNET")
		case p.Bits() < 8 || p.Bits() > 30:
			r.note(Left, s.line, ref{}, "netmask", fmt.Sprintf("a network of %s", p), "want a prefix of 8 to 30 bits")
		default:
			wires = append(wires, &wire{prefix: p, name: bootNetwork, file: serverFile, line: s.line, boot: true})
		}
	}
	r.file = nodesFile
	wires = r.gather(wires)
	slices.SortFunc(wires, func(a, b *wire) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	used := map[string]bool{}
	for _, w := range wires {
		used[w.name] = used[w.name] || w.boot
	}
	var out []fleet.Network
	for _, w := range wires {
		n := fleet.Network{Name: w.name, Subnet: w.prefix, DHCP: fleet.DHCPOff}
		if !w.boot {
			for i := 2; used[n.Name]; i++ {
				n.Name = fmt.Sprintf("%.60s-%d", w.name, i)
			}
			used[n.Name] = true
		}
		r.settleNetwork(&n, w, s)
		r.places[place{ref{fleet.ObjectNetwork, n.Name}, ""}] = w.line
		r.files[ref{fleet.ObjectNetwork, n.Name}] = w.file
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b fleet.Network) int { return hostlist.Compare(a.Name, b.Name) })
	return out
}

// gather puts every address of a node into the network that holds it, and adds networks that are missing.
func (r *reader) gather(wires []*wire) []*wire {
	type at struct {
		o *object
		i int
	}
	var homeless []at
	nodes := r.allNodes()
	for _, o := range nodes {
		for i := range o.Interfaces {
			n := &o.Interfaces[i]
			if !n.IP.IsValid() {
				continue
			}
			mask := r.said(o, n.Name, func(i *fleet.Interface) bool { return i.Netmask != 0 }).Netmask
			if mask == 0 || mask < 8 || mask > 30 {
				homeless = append(homeless, at{o, i})
				continue
			}
			wires = r.enter(wires, netip.PrefixFrom(n.IP, int(mask)).Masked(), n.Name, o)
		}
	}
	for _, h := range homeless {
		n := &h.o.Interfaces[h.i]
		if wireOf(wires, n.IP) != nil {
			continue
		}
		field := "network devices.*.ipaddr"
		r.note(Fixed, r.places[place{h.o.ref, "interfaces." + pathKey(n.Name) + ".ip"}], h.o.ref, field,
			"an address without a mask, and in no network that is known; 255.255.255.0 is understood", "see that this is its mask")
		wires = r.enter(wires, netip.PrefixFrom(n.IP, 24).Masked(), n.Name, h.o)
	}
	for _, o := range nodes {
		for i := range o.Interfaces {
			if n := &o.Interfaces[i]; n.IP.IsValid() {
				r.house(wireOf(wires, n.IP), o, n)
			}
		}
		if w := wireOf(wires, o.BMC.Address); w != nil && r.host(w, o, &o.BMC.Address, "bmc.address", "ipmi.ipaddr") {
			w.addresses = append(w.addresses, o.BMC.Address)
		}
	}
	return wires
}

func wireOf(wires []*wire, a netip.Addr) *wire {
	for _, w := range wires {
		if w.prefix.Contains(a) {
			return w
		}
	}
	return nil
}

// enter adds a network, unless there is one that holds it. It takes the place of those that it holds.
func (r *reader) enter(wires []*wire, p netip.Prefix, device string, o *object) []*wire {
	at := slices.IndexFunc(wires, func(w *wire) bool { return w.prefix.Overlaps(p) })
	line := r.places[place{o.ref, "interfaces." + pathKey(device) + ".ip"}]
	switch {
	case at < 0:
		return append(wires, &wire{prefix: p, name: device, file: r.file, line: line})
	case wires[at].prefix.Bits() <= p.Bits():
		return wires
	}
	wide := &wire{prefix: p, name: wires[at].name, file: wires[at].file, line: wires[at].line}
	var rest []*wire
	for _, w := range wires {
		if !p.Overlaps(w.prefix) {
			rest = append(rest, w)
			continue
		}
		if w.boot {
			wide.boot, wide.name, wide.file, wide.line = true, w.name, w.file, w.line
			r.note(Fixed, line, o.ref, "network devices.*.netmask", fmt.Sprintf("wider than the network of warewulf.conf, %s; network %s is %s here", w.prefix, w.name, p), "see which of both is right")
		}
	}
	return append(rest, wide)
}

// host reports whether a machine can have an address in a network. If not, the address is taken away.
func (r *reader) host(w *wire, o *object, a *netip.Addr, path, field string) bool {
	if (fleet.Network{Name: w.name, Subnet: w.prefix}).CheckHost(*a) == nil {
		return true
	}
	r.note(Left, r.places[place{o.ref, path}], o.ref, field,
		fmt.Sprintf("%s is the first or last address of %s, which no machine can have", a, w.prefix), "give the node another address")
	*a = netip.Addr{}
	return false
}

// house notes that a device has an address in a network, or takes the address away if no machine can have it there.
func (r *reader) house(w *wire, o *object, n *fleet.Interface) {
	if !r.host(w, o, &n.IP, "interfaces."+pathKey(n.Name)+".ip", "network devices.*.ipaddr") {
		return
	}
	w.addresses = append(w.addresses, n.IP)
	if w.gateways == nil {
		w.gateways = map[netip.Addr]bool{}
	}
	w.gateways[r.said(o, n.Name, func(i *fleet.Interface) bool { return i.Gateway.IsValid() }).Gateway] = true
	bits := fleet.Netmask(w.prefix.Bits())
	if mask := r.said(o, n.Name, func(i *fleet.Interface) bool { return i.Netmask != 0 }).Netmask; mask != 0 && mask != bits {
		r.note(Fixed, r.places[place{o.ref, "interfaces." + pathKey(n.Name) + ".ip"}], o.ref, "network devices.*.netmask",
			fmt.Sprintf("%s within network %s, which has %s: so has the node", mask, w.name, bits), "see which of both is right")
		n.Netmask = bits
	}
}

// settleNetwork says of a network what is known beside its subnet.
func (r *reader) settleNetwork(n *fleet.Network, w *wire, s *server) {
	r.file = w.file
	of := ref{}
	slices.SortFunc(w.addresses, netip.Addr.Compare)
	for g := range w.gateways {
		if _, taken := slices.BinarySearchFunc(w.addresses, g, netip.Addr.Compare); len(w.gateways) == 1 && g.IsValid() && !taken && n.CheckHost(g) == nil {
			n.Gateway = g
		}
	}
	if !w.boot {
		r.note(Fixed, w.line, of, "network devices.*.netmask", fmt.Sprintf("nodes have addresses in %s; it is network %s here, without DHCP", n.Subnet, n.Name), "")
		return
	}
	r.note(Taken, w.line, of, "ipaddr", fmt.Sprintf("network %s, %s", n.Name, n.Subnet), "")
	how := fmt.Sprintf("samara network set %s --dhcp full once Warewulf's DHCP server is stopped", n.Name)
	if s.dhcpOff {
		how = fmt.Sprintf("samara network set %s --dhcp proxy, or full, once the other DHCP server no longer points nodes to Warewulf", n.Name)
	}
	line := w.line
	if s.dhcpLine > 0 {
		line = s.dhcpLine
	}
	r.note(Fixed, line, of, "dhcp", "two that answer one node would be in each other's way: DHCP is off here to begin with", how)
	r.settlePool(n, w, s)
	if n.Domain = r.domain(); n.Domain != "" {
		r.note(Fixed, w.line, of, "fqdn", "the domain of the nodes' names is that of the network: "+n.Domain, "")
	}
}

// settlePool makes the range of Warewulf's DHCP server the pool for machines that are being discovered, if nothing else
// has an address in it: those of nodes cannot lie in a pool, and the next node would want one that follows them.
func (r *reader) settlePool(n *fleet.Network, w *wire, s *server) {
	if !s.first.IsValid() || !s.last.IsValid() {
		return
	}
	note := func(o Outcome, text, do string) { r.note(o, s.rangeLine, ref{}, "dhcp.range start", text, do) }
	given := fleet.Range{First: s.first, Last: s.last}
	if !s.first.Is4() || !s.last.Is4() || s.last.Less(s.first) {
		note(Left, fmt.Sprintf("%s is no range", given), "samara network set "+n.Name+" --discovery FIRST-LAST")
		return
	}
	taken := append(slices.Clone(w.addresses), n.Gateway, s.address)
	inside := fleet.Range{First: maxAddr(s.first, n.Subnet.Addr().Next()), Last: minAddr(s.last, n.Broadcast().Prev())}
	switch pool := widest(inside, taken); {
	case pool == given:
		note(Fixed, fmt.Sprintf("%s, which any machine could get, is for machines that are being discovered; nodes get their own addresses", pool), "")
		n.Discovery = pool
	case pool.IsZero():
		note(Left, fmt.Sprintf("no address of %s is free in %s for machines that are being discovered", given, n.Subnet), "samara network set "+n.Name+" --discovery FIRST-LAST, where no node has its address")
	default:
		note(Left, fmt.Sprintf("%s has addresses of nodes in it, or others that cannot be given away", given), fmt.Sprintf("samara network set %s --discovery %s, for one: that is its largest part without, and no node can have an address in it", n.Name, pool))
	}
}

// widest returns the largest part of a range that holds none of some addresses.
func widest(of fleet.Range, without []netip.Addr) fleet.Range {
	if of.Last.Less(of.First) {
		return fleet.Range{}
	}
	slices.SortFunc(without, netip.Addr.Compare)
	var best fleet.Range
	var bestSize uint64
	keep := func(first, last netip.Addr) {
		if last.Less(first) {
			return
		}
		if size := number4(last) - number4(first) + 1; size > bestSize {
			best, bestSize = fleet.Range{First: first, Last: last}, size
		}
	}
	first := of.First
	for _, a := range without {
		if of.Contains(a) {
			keep(first, a.Prev())
			first = a.Next()
		}
	}
	keep(first, of.Last)
	return best
}

func number4(a netip.Addr) uint64 {
	b := a.As4()
	return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
}

func maxAddr(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return b
	}
	return a
}

func minAddr(a, b netip.Addr) netip.Addr {
	if b.Less(a) {
		return b
	}
	return a
}
