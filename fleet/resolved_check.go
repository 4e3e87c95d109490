package fleet

import (
	"fmt"
	"net/netip"
	"slices"
)

// checkResolved reports what a node cannot be that its profiles and itself make, each of which may be well alone.
func (s State) checkResolved(n Node) error {
	if len(n.Profiles) > 0 {
		if err := n.Settings.checkFormer("node", n.Name); err != nil {
			return fmt.Errorf("with what its profiles say: %w", err)
		}
		if err := n.Settings.check(); err != nil {
			return fmt.Errorf("node %s: with what its profiles say: %w", n.Name, err)
		}
	}
	if p := n.PrimaryNetwork; p != "" && !slices.ContainsFunc(n.Interfaces, func(i Interface) bool { return i.Name == p }) {
		return fmt.Errorf("%w node %s: primary network %s: it has no such interface", ErrInvalid, n.Name, p)
	}
	for _, i := range n.Interfaces {
		if err := s.checkRouting(i); err != nil {
			return fmt.Errorf("node %s: interface %s: %w", n.Name, i.Name, err)
		}
	}
	return nil
}

// checkRouting reports why an interface could not reach its network or its router.
func (s State) checkRouting(i Interface) error {
	if i.IP6.IsValid() && i.Gateway6.IsValid() && !i.Gateway6.IsLinkLocalUnicast() {
		length := i.Prefix6
		if length == 0 {
			length = 64
		}
		prefix := netip.PrefixFrom(i.IP6, length).Masked()
		if !prefix.Contains(i.Gateway6) || i.Gateway6 == i.IP6 {
			return fmt.Errorf("%w gateway %s: want another address of %s, or a link-local one", ErrInvalid, i.Gateway6, prefix)
		}
	}
	if !i.IP.IsValid() || i.Netmask == 0 && !i.Gateway.IsValid() {
		return nil
	}
	network, ok := s.NetworkOf(i.IP)
	if !ok {
		return nil // checkAddresses has refused it
	}
	if bits := Netmask(network.Subnet.Bits()); i.Netmask != 0 && i.Netmask != bits {
		return fmt.Errorf("%w netmask %s: address %s is in network %s (%s), whose netmask is %s", ErrInvalid, i.Netmask, i.IP, network.Name, network.Subnet, bits)
	}
	if !i.Gateway.IsValid() {
		return nil
	}
	if i.Gateway == i.IP {
		return fmt.Errorf("%w gateway %s: it is the interface's own address", ErrInvalid, i.Gateway)
	}
	if err := network.CheckHost(i.Gateway); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}
