package fleet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A Network is an IPv4 subnet that nodes boot on.
type Network struct {
	Name      string       `json:"name"`
	Subnet    netip.Prefix `json:"subnet"` // its network address, /8 to /30
	Gateway   netip.Addr   `json:"gateway,omitzero"`
	DNS       []netip.Addr `json:"dns,omitempty"`
	Domain    string       `json:"domain,omitempty"`
	DHCP      DHCPMode     `json:"dhcp"`
	Discovery Range        `json:"discovery,omitzero"` // addresses for machines that are being discovered
	Revision  Revision     `json:"revision,omitempty"`
}

// A DHCPMode says what Samara answers on a network.
type DHCPMode string

// The modes: full answers addresses and boot options; proxy adds boot options to another server's answers
// (PXE 2.1, 2.2.3); off stays silent.
const (
	DHCPFull  DHCPMode = "full"
	DHCPProxy DHCPMode = "proxy"
	DHCPOff   DHCPMode = "off"
)

// MaxDNS is the number of name servers that resolv.conf(5) honours.
const MaxDNS = 3

// A Range is a run of IPv4 addresses, both ends included. The zero value is empty.
type Range struct {
	First, Last netip.Addr
}

// ParseRange reads "FIRST-LAST". The empty string is the zero Range.
func ParseRange(s string) (Range, error) {
	if s == "" {
		return Range{}, nil
	}
	a, b, found := strings.Cut(s, "-")
	first, err1 := netip.ParseAddr(a)
	last, err2 := netip.ParseAddr(b)
	switch {
	case !found || err1 != nil || err2 != nil || !first.Is4() || !last.Is4():
		return Range{}, fmt.Errorf("%w range %q: want FIRST-LAST, two IPv4 addresses", ErrInvalid, s)
	case last.Less(first):
		return Range{}, fmt.Errorf("%w range %q: the last address is below the first", ErrInvalid, s)
	}
	return Range{first, last}, nil
}

// IsZero reports whether r is empty.
func (r Range) IsZero() bool { return r == Range{} }

// Contains reports whether a lies in r.
func (r Range) Contains(a netip.Addr) bool {
	return !r.IsZero() && !a.Less(r.First) && !r.Last.Less(a)
}

// String returns the form that ParseRange reads.
func (r Range) String() string {
	if r.IsZero() {
		return ""
	}
	return r.First.String() + "-" + r.Last.String()
}

// MarshalText writes the form of String.
func (r Range) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what ParseRange reads.
func (r *Range) UnmarshalText(b []byte) error {
	got, err := ParseRange(string(b))
	*r = got
	return err
}

// Broadcast returns the highest address of the subnet.
func (n Network) Broadcast() netip.Addr {
	a := n.Subnet.Addr().As4()
	host := uint32(1)<<(32-n.Subnet.Bits()) - 1
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])|host)
	return netip.AddrFrom4(a)
}

// CheckHost reports why a cannot be the address of a machine on n.
func (n Network) CheckHost(a netip.Addr) error {
	switch {
	case !a.Is4():
		return fmt.Errorf("%w address %s: want IPv4", ErrInvalid, a)
	case !n.Subnet.Contains(a):
		return fmt.Errorf("%w address %s: outside network %s (%s)", ErrInvalid, a, n.Name, n.Subnet)
	case a == n.Subnet.Addr():
		return fmt.Errorf("%w address %s: the network address of %s (%s)", ErrInvalid, a, n.Name, n.Subnet)
	case a == n.Broadcast():
		return fmt.Errorf("%w address %s: the broadcast address of %s (%s)", ErrInvalid, a, n.Name, n.Subnet)
	}
	return nil
}

// check validates what can be said of n alone.
func (n Network) check() error {
	if err := CheckName("network", n.Name); err != nil {
		return err
	}
	fail := func(err error) error { return fmt.Errorf("network %s: %w", n.Name, err) }
	switch {
	case !n.Subnet.IsValid() || !n.Subnet.Addr().Is4():
		return fail(fmt.Errorf("%w subnet: want IPv4 in the form 10.1.0.0/16", ErrInvalid))
	case n.Subnet.Bits() < 8 || n.Subnet.Bits() > 30:
		return fail(fmt.Errorf("%w subnet %s: want a prefix length from 8 to 30", ErrInvalid, n.Subnet))
	case n.Subnet.Masked() != n.Subnet:
		return fail(fmt.Errorf("%w subnet %s: host bits are set; did you mean %s?", ErrInvalid, n.Subnet, n.Subnet.Masked()))
	case n.Subnet.Addr().IsMulticast() || n.Subnet.Addr().IsLoopback():
		return fail(fmt.Errorf("%w subnet %s: no machine can have such an address", ErrInvalid, n.Subnet))
	case !slices.Contains([]DHCPMode{DHCPFull, DHCPProxy, DHCPOff}, n.DHCP):
		return fail(fmt.Errorf("%w DHCP mode %q: want full, proxy or off", ErrInvalid, n.DHCP))
	case len(n.DNS) > MaxDNS:
		return fail(fmt.Errorf("%w DNS servers: %d, at most %d", ErrInvalid, len(n.DNS), MaxDNS))
	}
	if n.Gateway.IsValid() {
		if err := n.CheckHost(n.Gateway); err != nil {
			return fail(fmt.Errorf("gateway: %w", err))
		}
	}
	for _, a := range n.DNS {
		if !a.Is4() || a.IsUnspecified() || a.IsMulticast() {
			return fail(fmt.Errorf("%w DNS server %s: want an IPv4 address", ErrInvalid, a))
		}
	}
	if !n.Discovery.IsZero() {
		for _, a := range []netip.Addr{n.Discovery.First, n.Discovery.Last} {
			if err := n.CheckHost(a); err != nil {
				return fail(fmt.Errorf("discovery pool: %w", err))
			}
		}
		if n.Gateway.IsValid() && n.Discovery.Contains(n.Gateway) {
			return fail(fmt.Errorf("%w discovery pool %s: contains the gateway %s", ErrInvalid, n.Discovery, n.Gateway))
		}
	}
	if err := CheckDomain(n.Domain); err != nil {
		return fail(err)
	}
	return nil
}

// same reports whether two networks say the same, whenever they were written.
func (n Network) same(other Network) bool {
	return n.Name == other.Name && n.Subnet == other.Subnet && n.Gateway == other.Gateway && slices.Equal(n.DNS, other.DNS) &&
		n.Domain == other.Domain && n.DHCP == other.DHCP && n.Discovery == other.Discovery
}
