package bootagent

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
)

func TestParseAck(t *testing.T) {
	prefix, ip := netip.MustParsePrefix, netip.MustParseAddr
	option := func(code dhcpv4.OptionCode, data ...byte) dhcpv4.Modifier {
		return dhcpv4.WithOption(dhcpv4.OptGeneric(code, data))
	}
	your := dhcpv4.WithYourIP(net.IPv4(10, 1, 0, 11))
	for name, tc := range map[string]struct {
		options []dhcpv4.Modifier
		want    address
		problem string
	}{
		"everything": {
			[]dhcpv4.Modifier{your, dhcpv4.WithNetmask(net.CIDRMask(16, 32)), dhcpv4.WithRouter(net.IPv4(10, 1, 0, 1)),
				dhcpv4.WithDNS(net.IPv4(10, 1, 0, 2), net.IPv4(10, 1, 0, 3)), dhcpv4.WithServerIP(net.IPv4(9, 9, 9, 9)),
				dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 1, 0, 2))), dhcpv4.WithOption(dhcpv4.OptDomainName("lab")),
				option(dhcpv4.OptionInterfaceMTU, 0x23, 0x28)},
			address{Prefix: prefix("10.1.0.11/16"), Routes: []route{{defaultRoute, ip("10.1.0.1")}}, DNS: []netip.Addr{ip("10.1.0.2"), ip("10.1.0.3")},
				Domain: "lab", MTU: 9000, Server: ip("10.1.0.2")}, "",
		},
		"no mask":          {[]dhcpv4.Modifier{your}, address{Prefix: prefix("10.1.0.11/8")}, ""},
		"an MTU too small": {[]dhcpv4.Modifier{your, option(dhcpv4.OptionInterfaceMTU, 0, 68)}, address{Prefix: prefix("10.1.0.11/8")}, ""},
		"classless routes instead of a router": {
			[]dhcpv4.Modifier{your, dhcpv4.WithRouter(net.IPv4(10, 1, 0, 1)), option(dhcpv4.OptionClasslessStaticRoute, 24, 192, 168, 7, 10, 1, 0, 9, 16, 10, 2, 0, 0, 0, 0)},
			address{Prefix: prefix("10.1.0.11/8"), Routes: []route{{prefix("192.168.7.0/24"), ip("10.1.0.9")}, {To: prefix("10.2.0.0/16")}}}, "",
		},
		"no address":        {nil, address{}, "no machine can have"},
		"a loopback":        {[]dhcpv4.Modifier{dhcpv4.WithYourIP(net.IPv4(127, 0, 0, 1))}, address{}, "no machine can have"},
		"a mask with holes": {[]dhcpv4.Modifier{your, dhcpv4.WithNetmask(net.IPv4Mask(255, 0, 255, 0))}, address{}, "subnet mask"},
	} {
		t.Run(name, func(t *testing.T) {
			ack, err := dhcpv4.New(tc.options...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseAck(ack)
			opts := cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
			if diff := cmp.Diff(tc.want, got, opts); diff != "" {
				t.Error(diff)
			}
			if (err == nil) != (tc.problem == "") || err != nil && !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("error %v, want one with %q", err, tc.problem)
			}
		})
	}
}

func TestKernelRoute(t *testing.T) {
	own := netip.MustParsePrefix("10.1.0.11/32")
	r := kernelRoute(3, own, route{defaultRoute, netip.MustParseAddr("10.1.0.1")})
	if r.LinkIndex != 3 || r.Flags&int(netlink.FLAG_ONLINK) == 0 || r.Dst.String() != "0.0.0.0/0" || !r.Gw.Equal(net.IPv4(10, 1, 0, 1)) {
		t.Errorf("a gateway outside the network: %+v", r)
	}
	if r = kernelRoute(3, own, route{To: netip.MustParsePrefix("10.2.0.0/16")}); r.Gw != nil || r.Scope != netlink.SCOPE_LINK {
		t.Errorf("a route on the link: %+v", r)
	}
}
