package main

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/samara-hpc/samara/fleet"
)

// addressesFrom returns n addresses from first on. The first is taken as it is; after it, the network's own address, its
// broadcast address and its gateway are left out. The error wraps fleet.ErrInvalid if they would leave the network.
func addressesFrom(first netip.Addr, n int, networks []fleet.Network) ([]netip.Addr, error) {
	out := []netip.Addr{first}
	if n == 1 {
		return out, nil
	}
	at := slices.IndexFunc(networks, func(w fleet.Network) bool { return w.Subnet.Contains(first) })
	if at < 0 {
		return nil, fmt.Errorf("%w address %s: in no network; samara network list shows them", fleet.ErrInvalid, first)
	}
	w := networks[at]
	for a := first.Next(); len(out) < n; a = a.Next() {
		if !w.Subnet.Contains(a) {
			return nil, fmt.Errorf("%w address range: %d nodes from %s on leave network %s (%s)", fleet.ErrInvalid, n, first, w.Name, w.Subnet)
		}
		if w.CheckHost(a) == nil && a != w.Gateway {
			out = append(out, a)
		}
	}
	return out, nil
}
