package seeder

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// callFrom returns a dialer that calls from 127.0.0.host.
func callFrom(host byte) net.Dialer {
	return net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}, Timeout: patience}
}

func TestFloodOfCallsKeepsNobodyOut(t *testing.T) {
	blob := testBlob(3 << 20)
	info, ref := testInfo(t, blob)
	n := fetch(t, 2, info, ref)
	flood := callFrom(66)
	for range 200 {
		if c, err := flood.DialContext(t.Context(), "tcp4", n.Addr().String()); err == nil {
			closeAtEnd(t, c)
		}
	}
	eventually(t, func() bool { return has(n.Client, netip.MustParseAddr("127.0.0.66"), fleet.FaultFlood) },
		func() string { return fmt.Sprint(n.Faults()) })

	// One who does not overdo it is answered: it calls, n does not.
	good := holder(t, 3, info, blob)
	late := fetch(t, 4, info, ref)
	feed(t, late.Download, good.Addr())
	feed(t, n.Download, late.Addr())
	late.mustHold(t, blob)
	n.mustHold(t, blob)
}

func TestOneAddressGetsFewConnections(t *testing.T) {
	blob := testBlob(3 << 20)
	info, ref := testInfo(t, blob)
	n := fetch(t, 2, info, ref)
	bad := openRogue(t, 67, info, blob)
	from := callFrom(67)
	for i := range maxContactsOfOne + 3 {
		c, err := from.DialContext(t.Context(), "tcp4", n.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, c)
		if _, err := c.Write(append(bad.handshake()[:48], fmt.Sprintf("-RG0001-%012d", i)...)); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return n.Progress().Peers > i || has(n.Client, bad.addr().Addr(), fleet.FaultFlood) },
			func() string { return fmt.Sprint(n.Progress()) })
	}
	eventually(t, func() bool { return n.Progress().Peers == maxContactsOfOne }, func() string { return fmt.Sprint(n.Progress()) })
}

func TestStrangersAreNeitherCalledNorAnswered(t *testing.T) {
	blob := testBlob(3 << 20)
	info, ref := testInfo(t, blob)
	good, stranger := holder(t, 3, info, blob), holder(t, 4, info, blob)
	member := func(a netip.Addr) bool { return slices.Contains([]netip.Addr{good.Addr().Addr(), originAddr}, a) }
	n := fetchWith(t, Config{Listen: netip.MustParseAddrPort("127.0.0.2:0"), Allow: member}, info, ref)
	feed(t, n.Download, stranger.Addr())
	from := callFrom(4)
	c, err := from.DialContext(t.Context(), "tcp4", n.Addr().String())
	if err == nil {
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("a stranger's call was answered: %v", err)
		}
		c.Close()
	}
	eventually(t, func() bool { return has(n.Client, stranger.Addr().Addr(), fleet.FaultStranger) },
		func() string { return fmt.Sprint(n.Faults()) })
	if p := n.Progress(); p.Have != 0 {
		t.Errorf("a stranger was asked: %+v", p)
	}
	feed(t, n.Download, good.Addr())
	n.mustHold(t, blob)
	if sent := stranger.Progress().Uploaded; sent != 0 {
		t.Errorf("%d bytes came from a stranger", sent)
	}
}

func TestDialOnlyClientOpensNoPort(t *testing.T) {
	blob := testBlob(3 << 20)
	info, ref := testInfo(t, blob)
	good := holder(t, 3, info, blob)
	n := fetchWith(t, Config{Listen: netip.MustParseAddrPort("127.0.0.2:0"), DialOnly: true}, info, ref)
	if a := n.Addr(); a.IsValid() {
		t.Errorf("it listens at %s", a)
	}
	feed(t, n.Download, good.Addr())
	n.mustHold(t, blob)
}

func TestGarbageInsteadOfAHandshakeIsAFault(t *testing.T) {
	blob := testBlob(1 << 20)
	info, ref := testInfo(t, blob)
	n := fetch(t, 2, info, ref)
	from := callFrom(68)
	for range maxForeign {
		c, err := from.DialContext(t.Context(), "tcp4", n.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, c)
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: here\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return has(n.Client, netip.MustParseAddr("127.0.0.68"), fleet.FaultProtocol) },
		func() string { return fmt.Sprint(n.Faults()) })
}
