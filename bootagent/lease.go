package bootagent

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// An address is what a DHCP server gave an interface.
type address struct {
	Prefix netip.Prefix // with the host's bits
	Routes []route
	DNS    []netip.Addr
	Domain string
	MTU    int // 0: leave it
	Server netip.Addr
}

// A route is one hop towards a destination. Without a gateway the destination is on the link.
type route struct {
	To      netip.Prefix
	Gateway netip.Addr
}

// defaultRoute is the destination of the last resort.
var defaultRoute = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

// parseAck reads a DHCPACK (RFC 2131). Classless routes (option 121) replace routers (option 3), as RFC 3442 wants.
func parseAck(ack *dhcpv4.DHCPv4) (address, error) {
	ip, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback() {
		return address{}, fmt.Errorf("the DHCP server gave the address %s, which no machine can have", ack.YourIPAddr)
	}
	mask := ack.SubnetMask()
	if mask == nil {
		mask = net.IP(ip.AsSlice()).DefaultMask()
	}
	bits, size := mask.Size()
	if size != 32 || bits == 0 {
		return address{}, fmt.Errorf("the DHCP server gave the subnet mask %s", net.IP(mask))
	}
	a := address{Prefix: netip.PrefixFrom(ip, bits), Domain: ack.DomainName(), DNS: addrs(ack.DNS())}
	if server, ok := netip.AddrFromSlice(ack.ServerIdentifier().To4()); ok {
		a.Server = server
	}
	if routes := ack.ClasslessStaticRoute(); len(routes) > 0 {
		for _, r := range routes {
			if r.Dest == nil {
				continue
			}
			to, ok := netip.AddrFromSlice(r.Dest.IP.To4())
			ones, size := r.Dest.Mask.Size()
			if !ok || size != 32 {
				continue
			}
			gateway, _ := netip.AddrFromSlice(r.Router.To4())
			if gateway.IsValid() && gateway.IsUnspecified() {
				gateway = netip.Addr{}
			}
			a.Routes = append(a.Routes, route{netip.PrefixFrom(to, ones).Masked(), gateway})
		}
	} else if routers := addrs(ack.Router()); len(routers) > 0 {
		a.Routes = []route{{defaultRoute, routers[0]}}
	}
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil && mtu >= 576 {
		a.MTU = int(mtu)
	}
	return a, nil
}

func addrs(ips []net.IP) []netip.Addr {
	var list []netip.Addr
	for _, ip := range ips {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok && !a.IsUnspecified() {
			list = append(list, a)
		}
	}
	return list
}

// How long an exchange waits for an answer at first, and how often it asks; the wait doubles each time, so silence is
// noticed after 30 s. Controllers that stand in for a dead one answer within half a second; a switch's port may take
// longer before it forwards.
const (
	dhcpWait  = 2 * time.Second
	dhcpTries = 4
)

var errNoAnswer = errors.New("no DHCP server answers")
