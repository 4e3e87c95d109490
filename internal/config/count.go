package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/config/yaml"
)

// Count returns n addresses from first on, for machines of one network. It leaves out the network's own address, its
// broadcast address and those in without, such as routers. If within is not known (the zero Prefix) it leaves out all
// IPv4 addresses that end in 0 or 255, which are the network's own or its broadcast address if it is one of the usual
// size. The error wraps fleet.ErrInvalid: first is no address of a machine, or there are not n.
func Count(first netip.Addr, n int, within netip.Prefix, without ...netip.Addr) ([]netip.Addr, error) {
	out := []netip.Addr{first}
	switch {
	case within.IsValid() && !within.Contains(first):
		return nil, fmt.Errorf("%w address %s: outside %s", fleet.ErrInvalid, first, within)
	case within.IsValid() && isEdge(first, within):
		return nil, fmt.Errorf("%w address %s: no machine of %s can have it", fleet.ErrInvalid, first, within)
	}
	for a := first.Next(); len(out) < n; a = a.Next() {
		switch {
		case !a.IsValid():
			return nil, fmt.Errorf("%w address %s: there are not %d addresses from there on", fleet.ErrInvalid, first, n)
		case within.IsValid() && !within.Contains(a):
			return nil, fmt.Errorf("%w address %s: %d addresses from there on leave %s", fleet.ErrInvalid, first, n, within.Masked())
		case isEdge(a, within), slices.Contains(without, a):
		default:
			out = append(out, a)
		}
	}
	return out, nil
}

// isEdge reports whether a is the address of the network, or its broadcast address.
func isEdge(a netip.Addr, within netip.Prefix) bool {
	if !a.Is4() {
		return false
	}
	b := a.As4()
	if !within.IsValid() {
		return b[3] == 0 || b[3] == 255
	}
	if within.Bits() > 30 {
		return false // RFC 3021
	}
	next := a.Next()
	return a == within.Masked().Addr() || !next.IsValid() || !within.Contains(next)
}

// countAddresses gives the nodes of a range, which were read alike, addresses of their own.
func (p *parse) countAddresses(nodes []fleet.Node, key *yaml.Node) {
	first := nodes[0]
	for at, i := range first.Interfaces[:min(len(first.Interfaces), fleet.MaxInterfaces)] { // the state refuses more
		path := "interfaces." + quoteName(i.Name)
		if i.MAC != (fleet.MAC{}) {
			p.rangeFault(key, i.Name, path+".mac", fmt.Sprintf("MAC address %s for each of %d nodes; give each node its own", i.MAC, len(nodes)))
		}
		p.count(nodes, key, i.Name, path+".ip", i.Netmask, i.Gateway, func(n *fleet.Node) *netip.Addr { return &n.Interfaces[at].IP })
		p.count(nodes, key, i.Name, path+".ip6", 0, i.Gateway6, func(n *fleet.Node) *netip.Addr { return &n.Interfaces[at].IP6 })
	}
	p.count(nodes, key, "", "bmc.address", first.BMC.Netmask, first.BMC.Gateway, func(n *fleet.Node) *netip.Addr { return &n.BMC.Address })
}

// count counts up one address of nodes.
func (p *parse) count(nodes []fleet.Node, key *yaml.Node, part, path string, mask fleet.Netmask, gateway netip.Addr, at func(*fleet.Node) *netip.Addr) {
	first := *at(&nodes[0])
	if !first.IsValid() {
		return
	}
	without := []netip.Addr{gateway}
	var within netip.Prefix
	if net, ok := p.networkOf(first); ok {
		within = net.Subnet
		without = append(without, net.Gateway)
	} else if first.Is4() && mask > 0 {
		within = netip.PrefixFrom(first, int(mask))
	}
	all, err := Count(first, len(nodes), within, without...)
	if err != nil {
		p.rangeFault(key, part, path, err.Error())
		return
	}
	for i := range nodes {
		*at(&nodes[i]) = all[i]
	}
}

// networkOf returns the network of these documents that an address is in. Its cost does not depend on how many there are.
func (p *parse) networkOf(a netip.Addr) (fleet.Network, bool) {
	for bits := a.BitLen(); bits >= 0; bits-- {
		subnet, err := a.Prefix(bits)
		if i, ok := p.subnets[subnet]; ok && err == nil {
			return p.docs.Networks[i], true
		}
	}
	return fleet.Network{}, false
}

// rangeFault adds a fault at a field of the present object, which is one of the part with that name.
func (p *parse) rangeFault(key *yaml.Node, part, path, what string) {
	if p.faults.full() {
		return
	}
	place := *key
	for _, m := range p.present.fields {
		if m.path() == path {
			place.Line, place.Column = m.line, m.column
		}
	}
	if f, ok := fleet.FieldOf(path); ok && f.Warewulf != "" {
		for _, name := range strings.Split(f.Warewulf, ".") {
			defer p.step(strings.Replace(name, "*", part, 1))()
		}
	}
	p.fault(&place, what, "")
}
