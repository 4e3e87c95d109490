package main

import (
	"net/netip"
	"slices"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/config"
)

// addressesFrom returns n addresses from first on, for nodes of one network: one of the cluster's, or else the one that
// the mask tells of. The network's own address, its broadcast address and its gateway are left out. The error wraps
// fleet.ErrInvalid if the addresses would leave the network.
func addressesFrom(first netip.Addr, n int, networks []fleet.Network, mask fleet.Netmask) ([]netip.Addr, error) {
	if at := slices.IndexFunc(networks, func(w fleet.Network) bool { return w.Subnet.Contains(first) }); at >= 0 {
		return config.Count(first, n, networks[at].Subnet, networks[at].Gateway)
	}
	var within netip.Prefix
	if first.Is4() && mask > 0 {
		within = netip.PrefixFrom(first, int(mask))
	}
	return config.Count(first, n, within)
}

// parseAddr reads an IPv4 address; "" is none.
func parseAddr(flag, s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return netip.Addr{}, usagef("--%s %q: want an IPv4 address such as 10.1.0.11", flag, s)
	}
	return a, nil
}
