package netboot_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// quiet is how long silence is listened to. An advertisement takes a millisecond.
const quiet = 500 * time.Millisecond

// A solicitor solicits routers as iPXE does. The kernel of its host answers who has its address.
type solicitor struct {
	nic
	own  netip.Addr
	conn *packet.Conn // whole IPv6 frames
}

func (h *host) solicitor() solicitor {
	h.b.t.Helper()
	h.run("sysctl", "-qw", "net.ipv6.conf.eth0.router_solicitations=0") // of the kernel's own
	m := h.mac
	s := solicitor{nic: h.nic(), own: netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})}
	h.inside(func() error {
		ifc, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		s.conn, err = packet.Listen(ifc, packet.Raw, unix.ETH_P_IPV6, nil)
		return err
	})
	s.t.Cleanup(func() { _ = s.conn.Close() })
	return s
}

// dhcp asks for an address as a BIOS does, and with the class iPXE as iPXE does.
func (s solicitor) dhcp(class string) {
	s.t.Helper()
	options := firmware("PXEClient:Arch:00000:UNDI:002001", 0)
	if class != "" {
		maps.Copy(options, map[uint8]string{77: class, 175: "\x13\x01\x01"})
	}
	p := request(dhcpv4.MessageTypeDiscover, s.mac, options)
	s.broadcast(p.ToBytes())
	if s.mac != alien {
		s.receive(p.TransactionID)
	}
}

// solicit sends a Router Solicitation to all routers.
func (s solicitor) solicit() {
	s.t.Helper()
	all := netip.MustParseAddr("ff02::2")
	icmp := append([]byte{133, 0, 0, 0, 0, 0, 0, 0, 1, 1}, s.mac[:]...)
	binary.BigEndian.PutUint16(icmp[2:], ^icmpSum(s.own, all, icmp))
	group := net.HardwareAddr{0x33, 0x33, 0, 0, 0, 2}
	b := append(append([]byte{}, group...), s.mac[:]...)
	b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(icmp)), unix.IPPROTO_ICMPV6, 255)
	b = append(append(b, s.own.AsSlice()...), all.AsSlice()...)
	if _, err := s.conn.WriteTo(append(b, icmp...), &packet.Addr{HardwareAddr: group}); err != nil {
		s.t.Fatal(err)
	}
}

// advertised returns the next frame with a Router Advertisement, nil if none comes for that long.
func (s solicitor) advertised(d time.Duration) []byte {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		s.t.Fatal(err)
	}
	b := make([]byte, 4096)
	for {
		n, _, err := s.conn.ReadFrom(b)
		if err != nil {
			return nil
		}
		if n > 14+40 && b[14+6] == unix.IPPROTO_ICMPV6 && b[14+40] == 134 {
			return b[:n]
		}
	}
}

// silence checks that a solicitation is not answered.
func (s solicitor) silence(when string) {
	s.t.Helper()
	s.solicit()
	if got := s.advertised(quiet); got != nil {
		s.t.Errorf("%s: % x", when, got)
	}
}

// answer solicits, at the intervals of iPXE, until it is answered, and checks the answer.
func (s solicitor) answer() {
	s.t.Helper()
	var got []byte
	for wait := 250 * time.Millisecond; got == nil; wait *= 2 {
		if wait > 8*time.Second {
			s.t.Fatal("no router advertisement")
		}
		s.solicit()
		got = s.advertised(wait)
	}
	for s.advertised(quiet) != nil { // what waited until the kernel had an address to answer from
	}
	ip := got[14:]
	icmp := ip[40 : 40+binary.BigEndian.Uint16(ip[4:])]
	from, to := netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:]))
	if !bytes.Equal(got[:6], s.mac[:]) || to != s.own || !from.IsLinkLocalUnicast() {
		s.t.Errorf("from %s to %s at % x", from, to, got[:6])
	}
	if ip[7] != 255 || icmpSum(from, to, icmp) != 0xffff {
		s.t.Errorf("hop limit %d, checksum over all %#x", ip[7], icmpSum(from, to, icmp))
	}
	if !bytes.Equal(icmp[4:], make([]byte, 12)) {
		s.t.Errorf("want no flags, lifetime, times and options, got % x", icmp)
	}
}

// icmpSum sums an ICMPv6 message with its pseudo-header (RFC 8200, 8.1).
func icmpSum(from, to netip.Addr, icmp []byte) uint16 {
	addresses := append(from.AsSlice(), to.AsSlice()...)
	return onesSum(uint32(onesSum(uint32(unix.IPPROTO_ICMPV6)+uint32(len(icmp)), addresses)), icmp)
}

// TestSolicitationsOfIPXEAreAnswered has three machines solicit at every step of a boot.
func TestSolicitationsOfIPXEAreAnswered(t *testing.T) {
	need(t, "sysctl", "procps")
	need(t, "curl", "curl")
	b := newBench(t)

	first := b.plug(blank).solicitor() // shows that the way is open, before silence is judged
	first.dhcp("iPXE")
	first.answer()

	h := b.plug(diskless, "10.77.0.11/24")
	node := h.solicitor()
	node.silence("before DHCP")
	node.dhcp("")
	node.silence("firmware")
	node.dhcp("iPXE")
	node.answer()
	h.run("curl", "-sSf", fmt.Sprintf("http://%s:%d/boot/%s", serverAddress, bootPort, diskless))
	node.silence("after its script")

	stranger := b.plug(alien).solicitor()
	stranger.dhcp("iPXE")
	stranger.silence("a machine of nobody")

	if c := b.stop(); c.Advertisements < 2 {
		t.Errorf("got %+v", c)
	}
}
