package dhcp

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/samara-hpc/samara/fleet"
)

func seeds() [][]byte {
	var all [][]byte
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform, dhcpv4.MessageTypeDecline} {
		for _, mac := range []fleet.MAC{knownMAC, proxyMAC, quietMAC, bareMAC, alienMAC} {
			for _, firmware := range []change{pxe(0), httpBoot(16), ipxe(7, 0x13, 1, 1), text(60, "dhclient")} {
				all = append(all, request(kind, mac, firmware, giaddr("10.1.3.254"), option(82, 5, 4, 10, 1, 0, 0), ip(50, "10.1.0.11")).ToBytes())
				all = append(all, request(kind, mac, firmware, option(43, 71, 4, 0, 1, 0, 2, 255), ciaddr("10.1.0.11")).ToBytes())
			}
		}
	}
	return append(all, nil, []byte{1}, make([]byte, 240), make([]byte, 1500))
}

// FuzzAnswer holds for any datagram, on both ports: no panic; a reply only to a node; never too large to arrive.
func FuzzAnswer(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b, false)
		f.Add(b, true)
	}
	ctx := testContext(f)
	f.Fuzz(func(t *testing.T, b []byte, proxy bool) {
		req, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("got error %v, want one that wraps ErrMalformed", err)
			}
			return
		}
		ctx := ctx
		ctx.Proxy, ctx.Source = proxy, netip.MustParseAddrPort("10.1.0.50:68")
		r, d := Answer(req, ctx)
		if (r.Packet != nil) != (d.Verdict == Answered) {
			t.Fatalf("verdict %d with packet %v", d.Verdict, r.Packet)
		}
		if r.Packet == nil {
			return
		}
		if _, known := ctx.State.NodeByMAC(fleet.MAC(req.ClientHWAddr)); !known {
			t.Fatalf("%s is no node, but was answered: %s", req.ClientHWAddr, r.Packet.Summary())
		}
		if !r.To.IsValid() || r.Packet.TransactionID != req.TransactionID {
			t.Fatalf("reply to %s, transaction %s for %s", r.To, r.Packet.TransactionID, req.TransactionID)
		}
		if _, err := dhcpv4.FromBytes(r.Packet.ToBytes()); err != nil {
			t.Fatalf("the reply cannot be read: %v", err)
		}
	})
}

// FuzzOptions feeds the parsers of options 60, 77, 82, 93, 97 and 175 alone, where a fuzzer of packets rarely arrives.
func FuzzOptions(f *testing.F) {
	f.Add([]byte("iPXE"), []byte{0, 7}, []byte{0}, []byte{5, 4, 10, 1, 0, 0}, []byte{0x13, 1, 1}, "PXEClient:Arch:00007")
	f.Add([]byte("\x04iPXE"), []byte{7}, make([]byte, 17), []byte{11, 4, 1}, []byte{0x13}, "HTTPClient:Arch:99999")
	f.Add([]byte("\xffiPXE"), []byte{}, make([]byte, 18), []byte{82}, []byte{0, 255}, ":Arch:")
	f.Fuzz(func(t *testing.T, class, arch, uuid, relayed, features []byte, vendor string) {
		req := request(dhcpv4.MessageTypeDiscover, knownMAC, option(77, class...), option(93, arch...), option(97, uuid...),
			option(82, relayed...), option(175, features...), text(60, vendor), giaddr("10.1.3.254"))
		c, err := ParseClient(req)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.VendorClass) > 128 || (c.UUID != "" && len(c.UUID) != 36) {
			t.Fatalf("got vendor class %q, UUID %q", c.VendorClass, c.UUID)
		}
		for _, r := range c.VendorClass {
			if r < ' ' || r > '~' {
				t.Fatalf("vendor class %q is not printable", c.VendorClass)
			}
		}
		parseRelay(req)
	})
}
