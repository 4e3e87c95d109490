package fleet

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// A BMC is a node's baseboard management controller, which powers it on and off. In a profile it has no address.
type BMC struct {
	Address    netip.Addr        `json:"address,omitzero"` // IPv4 or IPv6
	Netmask    Netmask           `json:"netmask,omitempty"`
	Gateway    netip.Addr        `json:"gateway,omitzero"`
	User       string            `json:"user,omitempty"`
	Password   Secret            `json:"password,omitzero"`     // write-only. In an Edit: nil leaves the present one, one of no bytes clears it
	Port       int               `json:"port,omitempty"`        // 0: the driver's
	Driver     string            `json:"driver,omitempty"`      // lan, lanplus or redfish
	VLAN       int               `json:"vlan,omitempty"`        // 0: untagged
	EscapeChar string            `json:"escape_char,omitempty"` // ends a serial console; "": ~
	Write      *bool             `json:"write,omitempty"`       // whether the node programs its BMC as said here when it boots; nil: it does not
	Template   string            `json:"template,omitempty"`    // the name of a file that says how to talk to it
	Tags       map[string]string `json:"tags,omitempty"`
}

// WithoutSecrets returns n without what may be written and not read. It shares the rest with n.
func (n Node) WithoutSecrets() Node {
	n.BMC.Password = nil
	return n
}

// WithoutSecrets returns p without what may be written and not read. It shares the rest with p.
func (p Profile) WithoutSecrets() Profile {
	p.BMC.Password = nil
	return p
}

func (b BMC) clone() BMC {
	b.Password = slices.Clone(b.Password)
	b.Write = clonePointer(b.Write)
	b.Tags = maps.Clone(b.Tags)
	return b
}

func (b BMC) check() error {
	switch {
	case b.Address.IsValid() && !isHost4(b.Address) && !isHost6(b.Address):
		return fmt.Errorf("%w address %s: want that of a machine, without a zone", ErrInvalid, b.Address)
	case b.Gateway.IsValid() && !isHost4(b.Gateway) && !isHost6(b.Gateway):
		return fmt.Errorf("%w gateway %s: want the address of a machine, without a zone", ErrInvalid, b.Gateway)
	case b.Netmask < 0 || b.Netmask > 32:
		return fmt.Errorf("%w netmask: a prefix of %d bits, want 1 to 32", ErrInvalid, b.Netmask)
	case b.Port < 0 || b.Port > 65535:
		return fmt.Errorf("%w port %d: want 1 to 65535", ErrInvalid, b.Port)
	case b.VLAN < 0 || b.VLAN > 4094:
		return fmt.Errorf("%w VLAN %d: want 1 to 4094", ErrInvalid, b.VLAN)
	case !slices.Contains([]string{"", "lan", "lanplus", "redfish"}, b.Driver):
		return fmt.Errorf("%w driver %.40q: want lan, lanplus or redfish", ErrInvalid, b.Driver)
	case b.EscapeChar != "" && (len(b.EscapeChar) != 1 || b.EscapeChar[0] <= ' ' || b.EscapeChar[0] > '~'):
		return fmt.Errorf("%w escape character %.40q: want one printable character of ASCII", ErrInvalid, b.EscapeChar)
	case len(b.Password) > 128 || hasControl(string(b.Password)):
		return fmt.Errorf("%w password: want at most 128 bytes of text without control characters", ErrInvalid)
	}
	if err := checkText("user", b.User, 64); err != nil {
		return err
	}
	if b.Template != "" {
		if err := CheckLabel("template", b.Template); err != nil {
			return err
		}
	}
	if _, taken := b.Tags["vlan"]; taken { // a file says the VLAN itself there, as Warewulf does
		return fmt.Errorf("%w tag vlan: want bmc.vlan instead, a number", ErrInvalid)
	}
	return checkTags(b.Tags)
}
