package warewulf

import (
	"net/netip"

	"github.com/samara-hpc/samara/fleet"
)

// countUp returns the address that follows a by n places. With a mask, the first and the last address of the network are
// passed over, and the result is invalid if the network ends before.
func countUp(a netip.Addr, n int, mask fleet.Netmask) netip.Addr {
	if !a.IsValid() {
		return a
	}
	known := a.Is4() && mask > 0
	network := netip.PrefixFrom(a, 0)
	if known {
		network = netip.PrefixFrom(a, int(mask)).Masked()
	}
	for range n {
		a = a.Next()
		for known && mask < 31 && network.Contains(a) && isEdge(a, int(mask)) {
			a = a.Next()
		}
		if !a.IsValid() || known && !network.Contains(a) {
			return netip.Addr{}
		}
	}
	return a
}

// isEdge reports whether a is the first or the last address of its network.
func isEdge(a netip.Addr, bits int) bool {
	p := netip.PrefixFrom(a, bits).Masked()
	return a == p.Addr() || a == broadcast(p)
}

// broadcast returns the last address of an IPv4 network.
func broadcast(p netip.Prefix) netip.Addr { return fleet.Network{Subnet: p}.Broadcast() }
