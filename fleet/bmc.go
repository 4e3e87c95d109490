package fleet

import (
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
