package fleet

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// An Interface is one network port of a node. Any of them may be the one it boots from. In a profile it has neither MAC
// nor address: those are each node's own.
type Interface struct {
	Name     string            `json:"name"` // "default" for a node with one interface
	MAC      MAC               `json:"mac,omitzero"`
	IP       netip.Addr        `json:"ip,omitzero"`       // IPv4, within one of the cluster's networks
	Type     string            `json:"type,omitempty"`    // such as ethernet, infiniband, bond or vlan; "": ethernet
	Device   string            `json:"device,omitempty"`  // as the kernel names it
	Netmask  Netmask           `json:"netmask,omitempty"` // 0: that of the network
	Gateway  netip.Addr        `json:"gateway,omitzero"`  // IPv4
	IP6      netip.Addr        `json:"ip6,omitzero"`
	Prefix6  int               `json:"prefix6,omitempty"` // the length of IP6's prefix; 0: 64
	Gateway6 netip.Addr        `json:"gateway6,omitzero"`
	MTU      int               `json:"mtu,omitempty"`    // bytes; 0: the driver's
	OnBoot   *bool             `json:"onboot,omitempty"` // whether the node brings it up; nil: it does
	Tags     map[string]string `json:"tags,omitempty"`
}

func (i Interface) clone() Interface {
	i.OnBoot = clonePointer(i.OnBoot)
	i.Tags = maps.Clone(i.Tags)
	return i
}

// A Netmask is the mask of an IPv4 network, as the length of its prefix. 0 means that nothing is said.
type Netmask int

// ParseNetmask reads the form of String, or the length of the prefix. The empty string is 0.
func ParseNetmask(s string) (Netmask, error) {
	if s == "" {
		return 0, nil
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		b := a.As4()
		mask := binary.BigEndian.Uint32(b[:])
		if n := bits.LeadingZeros32(^mask); n > 0 && mask == ^uint32(0)<<(32-n) {
			return Netmask(n), nil
		}
	} else if n, err := strconv.Atoi(s); err == nil && n >= 1 && n <= 32 && strconv.Itoa(n) == s {
		return Netmask(n), nil
	}
	return 0, fmt.Errorf("%w netmask %.40q: want the form 255.255.255.0, or the length of a prefix from 1 to 32", ErrInvalid, s)
}

// String returns four numbers with dots between, or "" for 0.
func (n Netmask) String() string {
	if n < 1 || n > 32 {
		return ""
	}
	m := ^uint32(0) << (32 - n)
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}

// check validates what came later than names and MAC addresses.
func (i Interface) check() error {
	if i.Type != "" {
		if err := CheckLabel("type", i.Type); err != nil {
			return err
		}
	}
	if err := checkDevice(i.Device); err != nil {
		return err
	}
	switch {
	case i.Netmask < 0 || i.Netmask > 32:
		return fmt.Errorf("%w netmask: a prefix of %d bits, want 1 to 32", ErrInvalid, i.Netmask)
	case i.Gateway.IsValid() && !isHost4(i.Gateway):
		return fmt.Errorf("%w gateway %s: want the IPv4 address of a machine", ErrInvalid, i.Gateway)
	case i.IP6.IsValid() && !isHost6(i.IP6):
		return fmt.Errorf("%w address %s: want the IPv6 address of a machine, without a zone", ErrInvalid, i.IP6)
	case i.Prefix6 < 0 || i.Prefix6 > 128:
		return fmt.Errorf("%w IPv6 prefix of %d bits: want 1 to 128", ErrInvalid, i.Prefix6)
	case i.Gateway6.IsValid() && !isHost6(i.Gateway6):
		return fmt.Errorf("%w gateway %s: want the IPv6 address of a machine, without a zone", ErrInvalid, i.Gateway6)
	case i.MTU != 0 && (i.MTU < 68 || i.MTU > 65535): // RFC 791, 3.2: every machine forwards 68
		return fmt.Errorf("%w MTU %d: want 68 to 65535", ErrInvalid, i.MTU)
	}
	return checkTags(i.Tags)
}

// checkDevice refuses names that the kernel gives no network device (dev_valid_name in net/core/dev.c).
func checkDevice(name string) error {
	if name == "" {
		return nil
	}
	if len(name) > 15 || name == "." || name == ".." || strings.ContainsAny(name, "/:") {
		return fmt.Errorf("%w device %.40q: want 1 to 15 characters without : and /", ErrInvalid, name)
	}
	return checkWord("device", name)
}

func isHost4(a netip.Addr) bool {
	return a.Is4() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}

func isHost6(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}
