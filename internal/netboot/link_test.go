package netboot

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
)

func TestFrameIsAValidDatagram(t *testing.T) {
	from, to := netip.MustParseAddrPort("10.1.0.1:67"), netip.MustParseAddrPort("10.1.0.11:68")
	for _, payload := range []string{"", "odd", "even", "\xff\xff\xff\xff"} {
		b := datagramBytes(from, to, []byte(payload))
		h, err := ipv4.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if h.TotalLen != len(b) || h.Protocol != 17 || !h.Src.Equal(net.IPv4(10, 1, 0, 1)) || !h.Dst.Equal(net.IPv4(10, 1, 0, 11)) {
			t.Errorf("payload %q: got header %s", payload, h)
		}
		if got := sum(0, b[:20]); got != 0xffff {
			t.Errorf("payload %q: IP checksum leaves %#x", payload, got)
		}
		pseudo := append([]byte{10, 1, 0, 1, 10, 1, 0, 11, 0, 17}, b[24], b[25])
		if got := sum(uint32(sum(0, pseudo)), b[20:]); got != 0xffff {
			t.Errorf("payload %q: UDP checksum leaves %#x", payload, got)
		}
		if string(b[28:]) != payload {
			t.Errorf("payload %q: got %q", payload, b[28:])
		}
	}
}

func TestLinksAreLookedUpAgain(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	l := newLinks(func() time.Time { return now })
	if got := l.get(lo.Index); got.name != "lo" {
		t.Errorf("got %+v", got)
	}
	if got := l.get(1 << 30); got.name != "" || len(got.prefixes) != 0 {
		t.Errorf("an interface that is not there: got %+v", got)
	}
	l.known[lo.Index] = link{name: "stale", until: now.Add(linkLife)}
	if got := l.get(lo.Index); got.name != "stale" {
		t.Errorf("within %s: got %+v", linkLife, got)
	}
	now = now.Add(linkLife)
	if got := l.get(lo.Index); got.name != "lo" {
		t.Errorf("after %s: got %+v", linkLife, got)
	}
}
