package fleet

import (
	"net/netip"
	"time"
)

// A Boot is what controllers observed of one boot of one node. It is soft: kept in memory, bounded, lost with the
// controller but for what the agent reports again.
type Boot struct {
	ID      string       `json:"id"` // "" until the script was handed out
	Node    string       `json:"node"`
	MAC     MAC          `json:"mac"`
	Phases  []PhaseEvent `json:"phases"`            // in the order they were reached
	Failure string       `json:"failure,omitempty"` // why the present step fails and is being retried
	Swarm   SwarmReport  `json:"swarm"`
	Seen    time.Time    `json:"seen"` // when the controllers last heard of this boot
}

// A PhaseEvent says when a phase of a boot was reached.
type PhaseEvent struct {
	Phase  Phase     `json:"phase"`
	At     time.Time `json:"at"`
	Detail string    `json:"detail,omitempty"` // such as the firmware's kind, a file's name, a state
}

// An UnknownMachine is one that asked to boot and that no node claims. It gets nothing.
type UnknownMachine struct {
	MAC         MAC        `json:"mac"`
	First       time.Time  `json:"first"`
	Last        time.Time  `json:"last"`
	Requests    int        `json:"requests"`
	From        string     `json:"from"`           // the interface or the relay that it came by
	Relay       netip.Addr `json:"relay,omitzero"` // the relay agent's address, if any
	VendorClass string     `json:"vendor_class"`   // DHCP option 60, as sent
	Firmware    string     `json:"firmware"`       // such as "UEFI x86-64", from DHCP option 93
	UUID        string     `json:"uuid,omitempty"` // DHCP option 97, if sent
}
