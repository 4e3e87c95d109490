package netboot_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
)

// A nic sends and receives whole frames, as firmware does that has no address yet.
type nic struct {
	t    *testing.T
	mac  fleet.MAC
	conn *packet.Conn
}

// A frame is a DHCP reply as it was on the wire.
type frame struct {
	to         net.HardwareAddr
	from, dest netip.AddrPort
	checked    bool // the UDP checksum is there and right
	*dhcpv4.DHCPv4
}

func (h *host) nic() nic {
	h.b.t.Helper()
	n := nic{t: h.b.t, mac: h.mac}
	h.inside(func() error {
		ifc, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		n.conn, err = packet.Listen(ifc, packet.Raw, unix.ETH_P_IP, nil)
		return err
	})
	n.t.Cleanup(func() { _ = n.conn.Close() })
	return n
}

// broadcast sends payload from port 68 to port 67 of everybody.
func (n nic) broadcast(payload []byte) {
	n.t.Helper()
	n.send("ff:ff:ff:ff:ff:ff", netip.MustParseAddrPort("0.0.0.0:68"), netip.MustParseAddrPort("255.255.255.255:67"), payload)
}

// send sends one UDP datagram without a checksum, which IPv4 allows.
func (n nic) send(mac string, from, to netip.AddrPort, payload []byte) {
	n.t.Helper()
	dest, err := net.ParseMAC(mac)
	if err != nil {
		n.t.Fatal(err)
	}
	order := binary.BigEndian
	b := append(append([]byte{}, dest...), n.mac[:]...)
	b = order.AppendUint16(b, unix.ETH_P_IP)
	ip := make([]byte, 20)
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
	order.PutUint16(ip[2:], uint16(28+len(payload)))
	copy(ip[12:], from.Addr().AsSlice())
	copy(ip[16:], to.Addr().AsSlice())
	order.PutUint16(ip[10:], ^onesSum(0, ip))
	b = append(b, ip...)
	b = order.AppendUint16(b, from.Port())
	b = order.AppendUint16(b, to.Port())
	b = order.AppendUint16(b, uint16(8+len(payload)))
	b = append(append(b, 0, 0), payload...)
	if _, err := n.conn.WriteTo(b, &packet.Addr{HardwareAddr: dest}); err != nil {
		n.t.Fatal(err)
	}
}

// receive returns the next DHCP reply to the transaction.
func (n nic) receive(xid dhcpv4.TransactionID) frame {
	n.t.Helper()
	f, ok := n.receiveFor(xid, patience)
	if !ok {
		n.t.Fatalf("no reply to transaction %s", xid)
	}
	return f
}

// receiveFor is receive that gives up after d.
func (n nic) receiveFor(xid dhcpv4.TransactionID, d time.Duration) (frame, bool) {
	n.t.Helper()
	if err := n.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		n.t.Fatal(err)
	}
	b := make([]byte, 4096)
	for {
		size, _, err := n.conn.ReadFrom(b)
		if err != nil {
			return frame{}, false
		}
		if f, ok := parseFrame(b[:size]); ok && f.OpCode == dhcpv4.OpcodeBootReply && f.TransactionID == xid {
			return f, true
		}
	}
}

func parseFrame(b []byte) (frame, bool) {
	if len(b) < 14+20+8 || b[14]>>4 != 4 || b[14+9] != unix.IPPROTO_UDP {
		return frame{}, false
	}
	ip := b[14:]
	size := int(ip[0]&15) * 4
	total := int(binary.BigEndian.Uint16(ip[2:]))
	if total < size+8 || total > len(ip) {
		return frame{}, false
	}
	udp := ip[size:total]
	address := func(at int) netip.Addr { return netip.AddrFrom4([4]byte(ip[at:])) }
	p, err := dhcpv4.FromBytes(udp[8:])
	if err != nil {
		return frame{}, false
	}
	pseudo := onesSum(uint32(unix.IPPROTO_UDP)+uint32(len(udp)), ip[12:20])
	return frame{
		to:      net.HardwareAddr(append([]byte{}, b[:6]...)),
		from:    netip.AddrPortFrom(address(12), binary.BigEndian.Uint16(udp)),
		dest:    netip.AddrPortFrom(address(16), binary.BigEndian.Uint16(udp[2:])),
		checked: onesSum(uint32(pseudo), udp) == 0xffff,
		DHCPv4:  p,
	}, true
}

func onesSum(start uint32, b []byte) uint16 {
	for ; len(b) > 1; b = b[2:] {
		start += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		start += uint32(b[0]) << 8
	}
	for start > 0xffff {
		start = start>>16 + start&0xffff
	}
	return uint16(start)
}

// request makes a request with options given as code and value.
func request(kind dhcpv4.MessageType, mac fleet.MAC, options map[uint8]string) *dhcpv4.DHCPv4 {
	p, _ := dhcpv4.New(dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(mac[:]))
	for code, v := range options {
		p.Options[code] = []byte(v)
	}
	return p
}

// What firmware sends: options 60, 93 and 97, and 77 from iPXE.
func firmware(class string, arch uint16) map[uint8]string {
	return map[uint8]string{60: class, 93: string(binary.BigEndian.AppendUint16(nil, arch)), 97: "\x00" + "0123456789abcdef"}
}
