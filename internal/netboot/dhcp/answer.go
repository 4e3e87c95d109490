package dhcp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/samara-hpc/samara/fleet"
)

// LeaseTime is how long a client may use its address before it must ask again (option 51). It outlasts any outage of
// the controllers that an operator would sleep through.
const LeaseTime = 24 * time.Hour

// UDP ports of the protocol (RFC 2131, 4.1; PXE 2.1, 2.2.3).
const (
	ServerPort uint16 = 67
	ClientPort uint16 = 68
	ProxyPort  uint16 = 4011
)

// A Context is what an answer depends on beside the request.
type Context struct {
	State    fleet.State
	Server   netip.Addr     // this controller's address: server identifier, boot server
	BootPort uint16         // of this controller's HTTP boot service
	Loaders  Loaders        // what this controller can hand out
	Proxy    bool           // the request came to port 4011 instead of 67
	Source   netip.AddrPort // where the datagram came from
	Links    []netip.Prefix // the addresses of the interface it came in by; used for machines without a reservation
}

// Loaders names the network boot programs to hand out, by platform. An empty name means that there is none.
type Loaders struct {
	BIOS  string
	X64   string
	ARM64 string
}

// A Verdict sorts decisions by what is to be done about them.
type Verdict int

// The verdicts.
const (
	Ignore    Verdict = iota // not for us, and nothing is wrong
	Malformed                // no request of an Ethernet machine; count it
	Unknown                  // no node has this MAC; list it
	Decline                  // a node that cannot be served, for a reason that an operator can mend
	Answered                 // there is a reply
)

// A Decision says what was decided of a request and why.
type Decision struct {
	Verdict Verdict
	Reason  string // why there is no reply, or why the reply is a refusal; one line
	Client  Client // the zero value if Malformed
	Relay   netip.Addr
	Node    string // "" if no node has the MAC
	Boot    string // the file or URL that the client was given, "" if none
	// Taken is the server whose offer the client takes, if it names a controller: this one, or another, in whose name
	// the reply then is. Such a reply is only to be sent if the other gives none.
	Taken netip.Addr
	// Networks are those that an Unknown client may be on, by name.
	Networks []string
}

// Unknown returns the record of a machine that no node claims, seen by the interface or relay named from.
func (d Decision) Unknown(from string, at time.Time) fleet.UnknownMachine {
	return fleet.UnknownMachine{
		MAC: d.Client.MAC, First: at, Last: at, Requests: 1, From: from, Relay: d.Relay,
		VendorClass: d.Client.VendorClass, Firmware: d.Client.Firmware(), UUID: d.Client.UUID,
	}
}

// An exchange is one request while it is being decided.
type exchange struct {
	Context
	req     *dhcpv4.DHCPv4
	kind    dhcpv4.MessageType
	client  Client
	relay   relay
	node    fleet.Node
	address netip.Addr // the node's
	network fleet.Network
	stead   netip.Addr // the controller in whose name to answer; invalid for this one
}

// Answer decides what the sender of req is told. Without a reply its Packet is nil.
//
// Nodes get what is reserved for them, whether or not they have an image: the boot script says what is missing.
// A machine that no node claims gets nothing. Every controller answers alike, but for itself as the server to boot from.
func Answer(req *dhcpv4.DHCPv4, ctx Context) (Reply, Decision) {
	client, err := ParseClient(req)
	if err != nil {
		return Reply{}, Decision{Verdict: Malformed, Reason: err.Error()}
	}
	x := exchange{Context: ctx, req: req, kind: req.MessageType(), client: client, relay: parseRelay(req)}
	d := Decision{Client: client, Relay: x.relay.agent}
	switch x.kind {
	case dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform, dhcpv4.MessageTypeDecline:
	case dhcpv4.MessageTypeRelease: // reservations are not released
		d.Reason = "releases its address"
		return Reply{}, d
	case dhcpv4.MessageTypeNone:
		return Reply{}, Decision{Verdict: Malformed, Reason: "BOOTP request without a DHCP message type"}
	default:
		d.Reason = fmt.Sprintf("message type %d is not for a server", x.kind)
		return Reply{}, d
	}
	node, iface, network, err := ctx.State.Reservation(client.MAC)
	switch {
	case errors.Is(err, fleet.ErrUnknown):
		d.Verdict, d.Networks = x.unknown()
		d.Reason = err.Error()
		return Reply{}, d
	case err != nil:
		d.Verdict, d.Reason = Decline, err.Error()
		return Reply{}, d
	}
	x.node, x.address, x.network, d.Node = node, iface.IP, network, node.Name
	return x.decide(d)
}

// unknown decides whether a machine without a reservation is worth listing, and which networks it may be on. Where
// Samara gives addresses, whoever asks is: it will get none. Where another server does, only those that want to boot are.
// Where DHCP is off, nobody is.
func (x exchange) unknown() (Verdict, []string) {
	links := x.Links
	if x.relay.link.IsValid() {
		links = []netip.Prefix{netip.PrefixFrom(x.relay.link, 32)}
	}
	known := false
	var on []string
	for _, link := range links {
		network, ok := x.State.NetworkOf(link.Addr())
		if !ok {
			continue
		}
		known = true
		if network.DHCP == fleet.DHCPFull || (network.DHCP == fleet.DHCPProxy && x.client.Boots()) {
			on = append(on, network.Name)
		}
	}
	if len(on) > 0 || !known && x.client.Boots() {
		return Unknown, on
	}
	return Ignore, nil
}

// decide answers a node.
func (x exchange) decide(d Decision) (Reply, Decision) {
	if x.relay.link.IsValid() {
		if at, ok := x.State.NetworkOf(x.relay.link); ok && at.Name != x.network.Name {
			d.Verdict = Decline
			d.Reason = fmt.Sprintf("node %s asks from network %s (relay %s), but its address %s is of network %s; check its cabling, or samara node set %s --ip ADDRESS",
				x.node.Name, at.Name, x.relay.agent, x.address, x.network.Name, x.node.Name)
			return Reply{}, d
		}
	}
	switch {
	case x.network.DHCP == fleet.DHCPOff:
		d.Reason = fmt.Sprintf("DHCP is off on network %s", x.network.Name)
		return Reply{}, d
	case x.kind == dhcpv4.MessageTypeDecline:
		d.Verdict = Decline
		d.Reason = fmt.Sprintf("node %s found another machine at its address %s; find that machine, or samara node set %s --ip ADDRESS", x.node.Name, x.address, x.node.Name)
		return Reply{}, d
	}
	boot, err := x.bootFile()
	if err != nil {
		d.Verdict, d.Reason = Decline, err.Error()
		return Reply{}, d
	}
	d.Boot = boot
	if x.Proxy || x.network.DHCP == fleet.DHCPProxy {
		return x.decideProxy(d)
	}
	return x.decideFull(d)
}

// decideFull answers as the network's DHCP server (RFC 2131, 4.3).
func (x exchange) decideFull(d Decision) (Reply, Decision) {
	ciaddr := addrOf(x.req.ClientIPAddr)
	switch x.kind {
	case dhcpv4.MessageTypeDiscover:
		d.Verdict = Answered
		return x.lease(dhcpv4.MessageTypeOffer, d.Boot), d
	case dhcpv4.MessageTypeInform: // configuration without an address or a lease (RFC 2131, 4.3.5)
		if ciaddr != x.address {
			d.Reason = fmt.Sprintf("asks about %s, which is not the address of node %s", ciaddr, x.node.Name)
			return Reply{}, d
		}
		d.Verdict = Answered
		return x.inform(d.Boot), d
	}
	// RFC 2131, 4.3.2. With a server identifier the client is SELECTING; with a requested address it is in INIT-REBOOT,
	// with its own address it renews or rebinds. An identifier of another server is a refusal of our offer.
	if server := addrOf(x.req.ServerIdentifier()); server.IsValid() && server != x.relay.server {
		if server != x.Server && !x.isController(server) {
			d.Reason = fmt.Sprintf("takes the offer of %s", server)
			return Reply{}, d
		}
		d.Taken, x.stead = server, server
	}
	wanted := addrOf(x.req.RequestedIPAddress())
	if !wanted.IsValid() {
		wanted = ciaddr
	}
	switch {
	case !wanted.IsValid():
		d.Reason = "requests no address"
		return Reply{}, d
	case wanted != x.address:
		// The MAC is reserved here and the network is ours: no other server may confirm the address, and a client that
		// keeps it would collide with whoever has it now.
		d.Verdict, d.Boot = Answered, ""
		d.Reason = fmt.Sprintf("requests %s, but the address of node %s is %s", wanted, x.node.Name, x.address)
		return x.refuse(d.Reason), d
	}
	d.Verdict = Answered
	return x.lease(dhcpv4.MessageTypeAck, d.Boot), d
}

// isController reports whether a is the address of a controller.
func (x exchange) isController(a netip.Addr) bool {
	cluster, _ := x.State.Cluster()
	return slices.ContainsFunc(cluster.Controllers, func(c fleet.Controller) bool { return c.Address == a })
}

// decideProxy adds boot options to what another server answers (PXE 2.1, 2.2.3): an offer without an address on port
// 67, and the acknowledgement of the request that some firmware then sends to port 4011.
func (x exchange) decideProxy(d Decision) (Reply, Decision) {
	if !x.client.Boots() {
		d.Reason = "wants nothing to boot, and addresses are another server's to give"
		return Reply{}, d
	}
	kind := dhcpv4.MessageTypeAck
	switch {
	case x.kind == dhcpv4.MessageTypeDiscover && !x.Proxy:
		kind = dhcpv4.MessageTypeOffer
	case x.kind == dhcpv4.MessageTypeDiscover:
		d.Reason = "discovers on the port for requests"
		return Reply{}, d
	case x.kind == dhcpv4.MessageTypeRequest && !x.Proxy:
		// The client takes an address from another server, unless it names us.
		if server := addrOf(x.req.ServerIdentifier()); server != x.Server && server != x.relay.server || !server.IsValid() {
			d.Reason = "takes its address from another server"
			return Reply{}, d
		}
	}
	d.Verdict = Answered
	return x.proxy(kind, d.Boot), d
}

// bootFile returns the file or URL for the client, "" if it wants none. The error says why the node cannot boot.
func (x exchange) bootFile() (string, error) {
	if !x.client.Boots() {
		return "", nil
	}
	if x.client.Kind == IPXE && x.client.HTTP && platformOf(x.client.Arch) != ia32 {
		// A loader of either EFI kind, or in a BIOS, can read a script; the script checks the processor.
		return fmt.Sprintf("http://%s:%d/boot/%s", x.Server, x.BootPort, x.client.MAC), nil
	}
	loader := ""
	switch p := platformOf(x.client.Arch); p {
	case bios:
		loader = x.Loaders.BIOS
	case x64:
		loader = x.Loaders.X64
	case arm64:
		loader = x.Loaders.ARM64
	case ia32:
		return "", fmt.Errorf("node %s boots with 32-bit UEFI (option 93: %d), which cannot start a 64-bit kernel; set its firmware to legacy BIOS boot", x.node.Name, x.client.Arch)
	default:
		return "", fmt.Errorf("node %s boots with firmware of type %d (%s), for which there is no loader", x.node.Name, x.client.Arch, x.client.Arch)
	}
	if loader == "" {
		return "", fmt.Errorf("node %s boots with %s, for which this controller has no loader", x.node.Name, x.client.Firmware())
	}
	if x.client.Kind == HTTPBoot {
		return fmt.Sprintf("http://%s:%d/loader/%s", x.Server, x.BootPort, loader), nil
	}
	return loader, nil
}
