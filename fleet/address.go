package fleet

import (
	"fmt"
	"net/netip"
	"slices"
)

// checkAddresses reports why an interface cannot have its addresses, given what other nodes and the networks have.
func (s State) checkAddresses(i Interface) error {
	if holder, taken := s.macs.get(i.MAC[:]); taken && i.MAC != (MAC{}) {
		return fmt.Errorf("MAC %s %w: node %s has it", i.MAC, ErrExists, holder)
	}
	if !i.IP.IsValid() {
		return nil
	}
	if !i.IP.Is4() {
		return fmt.Errorf("%w address %s: want IPv4", ErrInvalid, i.IP)
	}
	if holder, taken := s.ips.get(i.IP.AsSlice()); taken {
		return fmt.Errorf("address %s %w: node %s has it", i.IP, ErrExists, holder)
	}
	network, ok := s.NetworkOf(i.IP)
	if !ok {
		return fmt.Errorf("%w address %s: in no network; samara network list shows them", ErrInvalid, i.IP)
	}
	return s.checkHostAddress(network, i.IP)
}

// checkMoved reports why n cannot have the addresses that it says, given what others have. Its former ones must have been
// dropped.
func (s State) checkMoved(n Node) error {
	for at, i := range n.Interfaces {
		if err := s.checkAddresses(i); err != nil {
			return fmt.Errorf("node %s: interface %s: %w", n.Name, i.Name, err)
		}
		for _, other := range n.Interfaces[:at] {
			if (i.MAC != (MAC{}) && i.MAC == other.MAC) || (i.IP.IsValid() && i.IP == other.IP) {
				return fmt.Errorf("%w node %s: interfaces %s and %s have one address", ErrInvalid, n.Name, other.Name, i.Name)
			}
		}
	}
	if err := s.checkOthers(n); err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	return nil
}

// checkPlaced reports which of the addresses that n has do not fit the networks.
func (s State) checkPlaced(n Node) error {
	for _, i := range n.Interfaces {
		if !i.IP.IsValid() {
			continue
		}
		network, ok := s.NetworkOf(i.IP)
		if !ok {
			return fmt.Errorf("%w node %s: interface %s: address %s would be in no network", ErrInvalid, n.Name, i.Name, i.IP)
		}
		if err := s.checkHostAddress(network, i.IP); err != nil {
			return fmt.Errorf("node %s: interface %s: %w", n.Name, i.Name, err)
		}
	}
	if network, ok := s.NetworkOf(n.BMC.Address); ok {
		if err := s.checkHostAddress(network, n.BMC.Address); err != nil {
			return fmt.Errorf("node %s: BMC: %w", n.Name, err)
		}
	}
	return nil
}

// indexAddresses records the addresses of n.
func (s State) indexAddresses(n Node) State {
	for _, i := range n.Interfaces {
		if i.MAC != (MAC{}) {
			s.macs = s.macs.put(i.MAC[:], n.Name)
		}
		if i.IP.IsValid() {
			s.ips = s.ips.put(i.IP.AsSlice(), n.Name)
		}
		if i.IP6.IsValid() {
			s.ips = s.ips.put(i.IP6.AsSlice(), n.Name)
		}
	}
	if n.BMC.Address.IsValid() {
		s.bmcs = s.bmcs.put(bmcKey(n.BMC.Address), n.Name)
	}
	return s
}

// checkHostAddress reports why a node on network n cannot have the address a.
func (s State) checkHostAddress(n Network, a netip.Addr) error {
	if err := n.CheckHost(a); err != nil {
		return err
	}
	if a == n.Gateway {
		return fmt.Errorf("%w address %s: the gateway of network %s", ErrInvalid, a, n.Name)
	}
	if n.Discovery.Contains(a) {
		return fmt.Errorf("%w address %s: inside the discovery pool %s of network %s", ErrInvalid, a, n.Discovery, n.Name)
	}
	if s.cluster != nil {
		for _, ctl := range s.cluster.Controllers {
			if ctl.Address == a {
				return fmt.Errorf("%w address %s: controller %s has it", ErrInvalid, a, ctl.ID)
			}
		}
	}
	return nil
}

// dropAddresses frees the addresses of n.
func (s State) dropAddresses(n Node) State {
	for _, i := range n.Interfaces {
		if i.MAC != (MAC{}) {
			s.macs = s.macs.drop(i.MAC[:])
		}
		if i.IP.IsValid() {
			s.ips = s.ips.drop(i.IP.AsSlice())
		}
		if i.IP6.IsValid() {
			s.ips = s.ips.drop(i.IP6.AsSlice())
		}
	}
	if n.BMC.Address.IsValid() {
		s.bmcs = s.bmcs.drop(bmcKey(n.BMC.Address))
	}
	return s
}

func bmcKey(a netip.Addr) []byte {
	key := a.As16()
	return key[:]
}

// sameAddresses reports whether the indexes hold the same of two nodes.
func sameAddresses(a, b Node) bool {
	return a.BMC.Address == b.BMC.Address && slices.EqualFunc(a.Interfaces, b.Interfaces, func(i, j Interface) bool {
		return i.MAC == j.MAC && i.IP == j.IP && i.IP6 == j.IP6
	})
}

// checkOthers reports why n cannot have the addresses that came after format 1, given what other nodes, controllers and
// the networks have.
func (s State) checkOthers(n Node) error {
	for at, i := range n.Interfaces {
		if !i.IP6.IsValid() {
			continue
		}
		if holder, taken := s.ips.get(i.IP6.AsSlice()); taken {
			return fmt.Errorf("interface %s: address %s %w: node %s has it", i.Name, i.IP6, ErrExists, holder)
		}
		for _, other := range n.Interfaces[:at] {
			if other.IP6 == i.IP6 {
				return fmt.Errorf("%w interfaces %s and %s: they have one address", ErrInvalid, other.Name, i.Name)
			}
		}
	}
	for _, i := range n.Interfaces {
		if err := s.checkNoBMC(i.IP); err != nil {
			return fmt.Errorf("interface %s: %w", i.Name, err)
		}
		if err := s.checkNoBMC(i.IP6); err != nil {
			return fmt.Errorf("interface %s: %w", i.Name, err)
		}
	}
	return s.checkBMCAddress(n)
}

// checkNoBMC reports which node's BMC has an address.
func (s State) checkNoBMC(a netip.Addr) error {
	if !a.IsValid() {
		return nil
	}
	if holder, taken := s.bmcs.get(bmcKey(a)); taken {
		return fmt.Errorf("address %s %w: the BMC of node %s has it", a, ErrExists, holder)
	}
	return nil
}

// checkBMCAddress reports why the BMC of n cannot have its address.
func (s State) checkBMCAddress(n Node) error {
	a := n.BMC.Address
	if !a.IsValid() {
		return nil
	}
	if err := s.checkNoBMC(a); err != nil {
		return fmt.Errorf("BMC: %w", err)
	}
	if holder, taken := s.ips.get(a.AsSlice()); taken {
		return fmt.Errorf("BMC: address %s %w: node %s has it", a, ErrExists, holder)
	}
	for _, i := range n.Interfaces {
		if i.IP == a || i.IP6 == a {
			return fmt.Errorf("%w BMC: address %s: interface %s has it", ErrInvalid, a, i.Name)
		}
	}
	if network, ok := s.NetworkOf(a); ok {
		if err := s.checkHostAddress(network, a); err != nil {
			return fmt.Errorf("BMC: %w", err)
		}
	}
	return nil
}
