package dhcp

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/samara-hpc/samara/fleet"
)

// A Reply is a packet and how to deliver it. Without a packet there is nothing to send.
type Reply struct {
	Packet *dhcpv4.DHCPv4
	Way    Way
	To     netip.AddrPort // for Link, the address that the client is being given
	MAC    fleet.MAC      // for Link
}

// A Way is how a reply travels (RFC 2131, 4.1).
type Way int

// The ways.
const (
	Routed    Way = iota // an ordinary datagram: to a relay agent, or to a client that has its address
	Broadcast            // to all on the link that the request came in by
	Link                 // to the client's MAC, since it has no address yet and cannot answer ARP; Broadcast will do
)

// lease gives the node its address and what it needs to use it.
func (x exchange) lease(kind dhcpv4.MessageType, boot string) Reply {
	p := x.reply(kind)
	p.YourIPAddr = ipOf(x.address)
	p.ClientIPAddr = x.req.ClientIPAddr
	p.UpdateOption(dhcpv4.OptIPAddressLeaseTime(LeaseTime))
	x.configure(p)
	x.addBoot(p, boot)
	return x.deliver(p)
}

// inform answers a client that has its address already.
func (x exchange) inform(boot string) Reply {
	p := x.reply(dhcpv4.MessageTypeAck)
	p.ClientIPAddr = x.req.ClientIPAddr
	x.configure(p)
	x.addBoot(p, boot)
	return x.deliver(p)
}

// configure adds options 1, 3, 6, 12, 15 and 28 (RFC 2132, 3).
func (x exchange) configure(p *dhcpv4.DHCPv4) {
	bits := x.network.Subnet.Bits()
	mask := make([]byte, 4)
	binary.BigEndian.PutUint32(mask, ^uint32(0)<<(32-bits))
	p.Options[dhcpv4.OptionSubnetMask.Code()] = mask
	p.Options[dhcpv4.OptionBroadcastAddress.Code()] = ipOf(x.network.Broadcast())
	p.Options[dhcpv4.OptionHostName.Code()] = []byte(x.node.Name)
	if x.network.Gateway.IsValid() {
		p.Options[dhcpv4.OptionRouter.Code()] = ipOf(x.network.Gateway)
	}
	var servers []byte
	for _, a := range x.network.DNS {
		servers = append(servers, ipOf(a)...)
	}
	if len(servers) > 0 {
		p.Options[dhcpv4.OptionDomainNameServer.Code()] = servers
	}
	if x.network.Domain != "" {
		p.Options[dhcpv4.OptionDomainName.Code()] = []byte(x.network.Domain)
	}
}

// addBoot says what to fetch. Clients differ in where they look: in the fields siaddr, sname and file of RFC 951, or
// in options 66 and 67 (RFC 2132, 9.4 and 9.5); so both are set. file holds 127 bytes, which our URLs fit in.
func (x exchange) addBoot(p *dhcpv4.DHCPv4, boot string) {
	if boot == "" {
		return
	}
	p.ServerIPAddr = ipOf(x.Server)
	p.ServerHostName = x.Server.String()
	p.BootFileName = boot
	p.Options[dhcpv4.OptionTFTPServerName.Code()] = []byte(x.Server.String())
	p.Options[dhcpv4.OptionBootfileName.Code()] = []byte(boot)
	switch {
	case x.client.Kind == HTTPBoot:
		// Firmware drops an offer that does not repeat its class (UEFI 2.10, 24.7.3.1).
		p.Options[dhcpv4.OptionClassIdentifier.Code()] = []byte(classHTTP)
	case x.client.Kind == IPXE && !x.Proxy && x.network.DHCP == fleet.DHCPFull:
		// "no-pxedhcp": there is no ProxyDHCP offer for iPXE to wait seconds for (iPXE, ipxe/dhcp.h).
		p.Options[dhcpv4.OptionEtherboot.Code()] = []byte{0xb0, 1, 1}
	}
}

// proxy gives boot options alone. Option 60 marks the reply as one of a ProxyDHCP server (PXE 2.1, 2.2.3).
func (x exchange) proxy(kind dhcpv4.MessageType, boot string) Reply {
	p := x.reply(kind)
	p.ClientIPAddr = x.req.ClientIPAddr
	x.addBoot(p, boot)
	if x.client.Kind != HTTPBoot {
		p.Options[dhcpv4.OptionClassIdentifier.Code()] = []byte(classPXE)
	}
	if x.client.Kind != HTTPBoot && platformOf(x.client.Arch) == bios {
		p.Options[dhcpv4.OptionVendorSpecificInformation.Code()] = x.bootControl()
	}
	return x.deliver(p)
}

// bootControl is option 43 for a BIOS: PXE_DISCOVERY_CONTROL (6) with bit 3, "boot the file named in this reply,
// without a menu or a search for boot servers" (PXE 2.1, table 2-1). UEFI needs none, and some of it trips over it.
// A client that asks for a boot item (71) wants to see it again.
func (x exchange) bootControl() []byte {
	control := []byte{6, 1, 8}
	asked := x.req.Options.Get(dhcpv4.OptionVendorSpecificInformation)
	for i := 0; i+1 < len(asked) && asked[i] != 255; {
		if asked[i] == 0 {
			i++
			continue
		}
		end := i + 2 + int(asked[i+1])
		if end > len(asked) {
			break
		}
		if asked[i] == 71 && asked[i+1] == 4 {
			control = append(control, asked[i:end]...)
			break
		}
		i = end
	}
	return append(control, 255)
}

// refuse is a DHCPNAK: the client is to start over (RFC 2131, 4.3.2).
func (x exchange) refuse(reason string) Reply {
	p := x.reply(dhcpv4.MessageTypeNak)
	p.Options[dhcpv4.OptionMessage.Code()] = []byte(reason[:min(len(reason), 200)])
	r := x.deliver(p)
	if x.relay.agent.IsValid() {
		p.SetBroadcast() // the relay agent must not send it to an address that the client may not have
		return r
	}
	r.Way, r.To = Broadcast, everyone()
	return r
}

// everyone is the limited broadcast address with the clients' port.
func everyone() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), ClientPort)
}

// reply is the frame that all replies share (RFC 2131, table 3). Echoed are the relay's information (RFC 3046, 2.2),
// the client identifier (RFC 6842) and the machine's UUID, without which PXE drops the reply (RFC 4578, 2.3).
func (x exchange) reply(kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	server := x.Server
	switch {
	case x.relay.server.IsValid():
		server = x.relay.server
	case x.stead.IsValid():
		// iPXE, EDK II and nclient4 drop an acknowledgement by another server than the one whose offer they took.
		server = x.stead
	}
	p := &dhcpv4.DHCPv4{
		OpCode:        dhcpv4.OpcodeBootReply,
		HWType:        x.req.HWType,
		TransactionID: x.req.TransactionID,
		Flags:         x.req.Flags,
		ClientIPAddr:  ipOf(netip.Addr{}),
		YourIPAddr:    ipOf(netip.Addr{}),
		ServerIPAddr:  ipOf(netip.Addr{}),
		GatewayIPAddr: x.req.GatewayIPAddr,
		ClientHWAddr:  slices.Clone(x.req.ClientHWAddr),
		Options:       dhcpv4.Options{},
	}
	p.UpdateOption(dhcpv4.OptMessageType(kind))
	p.Options[dhcpv4.OptionServerIdentifier.Code()] = ipOf(server)
	for _, code := range []dhcpv4.OptionCode{dhcpv4.OptionRelayAgentInformation, dhcpv4.OptionClientIdentifier, dhcpv4.OptionClientMachineIdentifier} {
		if v, ok := x.req.Options[code.Code()]; ok {
			p.Options[code.Code()] = slices.Clone(v)
		}
	}
	return p
}

// deliver makes p fit and chooses its way (RFC 2131, 4.1; for port 4011, PXE 2.1, 2.4.4).
func (x exchange) deliver(p *dhcpv4.DHCPv4) Reply {
	shrink(p, maxPayload(x.req))
	r := Reply{Packet: p, MAC: x.client.MAC}
	ciaddr := addrOf(x.req.ClientIPAddr)
	switch {
	case x.Proxy && ciaddr.IsValid():
		r.To = netip.AddrPortFrom(ciaddr, x.Source.Port())
	case x.Proxy && !x.Source.Addr().IsUnspecified():
		r.To = x.Source
	case x.relay.agent.IsValid() && x.relay.ported:
		r.To = netip.AddrPortFrom(x.relay.agent, x.Source.Port())
	case x.relay.agent.IsValid():
		r.To = netip.AddrPortFrom(x.relay.agent, ServerPort)
	case ciaddr.IsValid() && x.kind != dhcpv4.MessageTypeDiscover: // a client that discovers has no address
		r.To = netip.AddrPortFrom(ciaddr, ClientPort)
	case x.req.IsBroadcast() || !addrOf(p.YourIPAddr).IsValid():
		r.Way, r.To = Broadcast, everyone()
	default:
		r.Way, r.To = Link, netip.AddrPortFrom(x.address, ClientPort)
	}
	return r
}

// maxPayload is how many bytes of DHCP the client takes: option 57 (RFC 2132, 9.10) counts the IP and UDP headers, 28
// bytes, and is at least 576; more than Ethernet carries would be fragmented, which boot ROMs cannot put together.
func maxPayload(req *dhcpv4.DHCPv4) int {
	size := 576
	if v := req.Options.Get(dhcpv4.OptionMaximumDHCPMessageSize); len(v) == 2 {
		size = int(binary.BigEndian.Uint16(v))
	}
	return min(max(size, 576), 1500) - 28
}

// shrink drops what a client boots without, least needed first, until p is at most limit bytes.
func shrink(p *dhcpv4.DHCPv4, limit int) {
	for _, code := range []dhcpv4.OptionCode{dhcpv4.OptionDomainName, dhcpv4.OptionBroadcastAddress, dhcpv4.OptionTFTPServerName,
		dhcpv4.OptionHostName, dhcpv4.OptionDomainNameServer} {
		if len(p.ToBytes()) <= limit {
			return
		}
		p.Options.Del(code)
	}
}
