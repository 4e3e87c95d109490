package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// A Packet is an IPv4 packet of TCP or UDP that a machine sent or was sent.
type Packet struct {
	Sent     bool // by the machine, not to it
	TCP, SYN bool
	From, To netip.AddrPort
	Length   int    // bytes of payload
	Payload  []byte // how it begins; not to be kept
}

// snapLength is how much of a packet is read: enough for headers and the first line of a request.
const snapLength = 256

// Capture calls seen for each packet of the machine, in order, until it returns true, ctx ends, or the machine is
// unplugged.
func (v *VM) Capture(ctx context.Context, seen func(Packet) bool) error {
	var conn *packet.Conn
	err := v.network.Do(func() error {
		tap, err := net.InterfaceByName(v.Name)
		if err != nil {
			return err
		}
		conn, err = packet.Listen(tap, packet.Raw, unix.ETH_P_ALL, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("capture at %s: %w", v.Name, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close()
		}
	}()
	frame := make([]byte, snapLength)
	for {
		size, _, err := conn.ReadFrom(frame)
		if err != nil {
			return fmt.Errorf("capture at %s: %w", v.Name, errors.Join(ctx.Err(), err))
		}
		p, ok := parsePacket(frame[:size])
		p.Sent = ok && [6]byte(frame[6:12]) == v.MAC
		if ok && seen(p) {
			return nil
		}
	}
}

// parsePacket reads the beginning of an Ethernet frame.
func parsePacket(b []byte) (Packet, bool) {
	const ethernet = 14
	if len(b) < ethernet+20 || binary.BigEndian.Uint16(b[12:]) != unix.ETH_P_IP {
		return Packet{}, false
	}
	ip := b[ethernet:]
	ports := int(ip[0]&15) * 4
	var header int
	var p Packet
	switch protocol := ip[9]; {
	case protocol == unix.IPPROTO_UDP && len(ip) >= ports+8:
		header = 8
	case protocol == unix.IPPROTO_TCP && len(ip) >= ports+20:
		header = int(ip[ports+12]>>4) * 4
		p.TCP, p.SYN = true, ip[ports+13]&0x12 == 0x02
	default:
		return Packet{}, false
	}
	end := func(address, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[address:])), binary.BigEndian.Uint16(ip[ports+port:]))
	}
	p.From, p.To = end(12, 0), end(16, 2)
	p.Length = max(0, int(binary.BigEndian.Uint16(ip[2:]))-ports-header)
	p.Payload = ip[min(len(ip), ports+header):]
	p.Payload = p.Payload[:min(len(p.Payload), p.Length)]
	return p, true
}
