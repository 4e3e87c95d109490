package dhcp

import (
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A relay is what the relay agents on the way added to a request.
type relay struct {
	agent  netip.Addr // giaddr; invalid if the request came straight from the client
	link   netip.Addr // an address of the client's subnet: option 82.5 (RFC 3527), else giaddr
	server netip.Addr // what to give as server identifier: option 82.11 (RFC 5107); invalid if not asked for
	ported bool       // reply to the datagram's source port: option 82.19 (RFC 8357)
}

// parseRelay reads giaddr and option 82 (RFC 3046). Suboptions are believed only of a relayed request: a client that
// sends option 82 itself is to be answered as if it had not (RFC 3046, 2.1).
func parseRelay(req *dhcpv4.DHCPv4) relay {
	r := relay{agent: addrOf(req.GatewayIPAddr)}
	if !r.agent.IsValid() {
		return r
	}
	r.link = r.agent
	info := req.Options.Get(dhcpv4.OptionRelayAgentInformation)
	for len(info) >= 2 {
		code, n := info[0], int(info[1])
		if n > len(info)-2 {
			break
		}
		value := info[2 : 2+n]
		info = info[2+n:]
		switch {
		case code == dhcpv4.LinkSelectionSubOption.Code() && n == 4:
			r.link = netip.AddrFrom4([4]byte(value))
		case code == dhcpv4.ServerIdentifierOverrideSubOption.Code() && n == 4:
			r.server = netip.AddrFrom4([4]byte(value))
		case code == dhcpv4.RelaySourcePortSubOption.Code() && n == 0:
			r.ported = true
		}
	}
	return r
}

// addrOf returns ip as an address, invalid if it is absent or 0.0.0.0.
func addrOf(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip.To4())
	if !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// ipOf returns a in the form the codec wants.
func ipOf(a netip.Addr) net.IP {
	if !a.IsValid() {
		return net.IPv4zero.To4()
	}
	b := a.As4()
	return net.IP(b[:])
}
