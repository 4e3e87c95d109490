package netboot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
)

// A link is what is known of an interface by its index.
type link struct {
	name     string
	prefixes []netip.Prefix // its IPv4 addresses
	ipv6     bool           // it has a link-local address
	until    time.Time      // when to look again
}

const (
	linkLife = 5 * time.Second // how long a change of addresses may go unnoticed
	maxLinks = 1024
)

// links remembers interfaces, since to ask the kernel costs more than to answer a request. Its methods may be called
// from any goroutine.
type links struct {
	now func() time.Time

	mu    sync.Mutex
	known map[int]link
}

func newLinks(now func() time.Time) *links { return &links{now: now, known: map[int]link{}} }

// get returns the interface with that index; one that is gone has neither name nor addresses.
func (l *links) get(index int) link {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if found, ok := l.known[index]; ok && now.Before(found.until) {
		return found
	}
	if len(l.known) >= maxLinks {
		clear(l.known)
	}
	fresh := link{until: now.Add(linkLife)}
	if ifc, err := net.InterfaceByIndex(index); err == nil {
		fresh.name = ifc.Name
		addrs, _ := ifc.Addrs() // without them, unknown machines are judged by what they ask for
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			switch {
			case err != nil:
			case p.Addr().Is4():
				fresh.prefixes = append(fresh.prefixes, p)
			case p.Addr().IsLinkLocalUnicast():
				fresh.ipv6 = true
			}
		}
	}
	l.known[index] = fresh
	return fresh
}

// frames sends datagrams to a MAC, for clients that have no address yet and so answer no ARP (RFC 2131, 4.1). Its
// methods may be called from any goroutine.
type frames struct {
	mu     sync.Mutex
	conns  map[int]*packet.Conn // by interface
	closed bool
}

func newFrames() *frames { return &frames{conns: map[int]*packet.Conn{}} }

// send sends payload by the interface with that index. The error means that the client may not have got it, and that
// broadcast may do better.
func (f *frames) send(index int, mac fleet.MAC, from, to netip.AddrPort, payload []byte) error {
	c, err := f.conn(index)
	if err != nil {
		return err
	}
	if _, err := c.WriteTo(datagramBytes(from, to, payload), &packet.Addr{HardwareAddr: mac[:]}); err != nil {
		f.drop(index, c)
		return fmt.Errorf("send frame: %w", err)
	}
	return nil
}

// conn returns the socket of an interface, opening it on first use.
func (f *frames) conn(index int) (*packet.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.conns[index]; ok {
		return c, nil
	}
	if f.closed || len(f.conns) >= maxLinks {
		return nil, errors.New("no frame socket to be had")
	}
	ifc, err := net.InterfaceByIndex(index)
	if err != nil {
		return nil, fmt.Errorf("interface %d: %w", index, err)
	}
	if len(ifc.HardwareAddr) != len(fleet.MAC{}) {
		return nil, fmt.Errorf("interface %s is not Ethernet", ifc.Name)
	}
	nothing, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: 0}}) // it only sends
	if err != nil {
		return nil, err
	}
	c, err := packet.Listen(ifc, packet.Datagram, unix.ETH_P_IP, &packet.Config{Filter: nothing})
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", ifc.Name, err)
	}
	f.conns[index] = c
	return c, nil
}

func (f *frames) drop(index int, c *packet.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns[index] == c {
		delete(f.conns, index)
		_ = c.Close()
	}
}

func (f *frames) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for index, c := range f.conns {
		delete(f.conns, index)
		_ = c.Close()
	}
}

// datagramBytes returns an IPv4 packet (RFC 791) with a UDP datagram (RFC 768) in it.
func datagramBytes(from, to netip.AddrPort, payload []byte) []byte {
	const ipHeader, udpHeader = 20, 8
	b := make([]byte, ipHeader+udpHeader, ipHeader+udpHeader+len(payload))
	b = append(b, payload...)
	source, target := from.Addr().As4(), to.Addr().As4()
	order := binary.BigEndian

	ip := b[:ipHeader]
	ip[0] = 4<<4 | ipHeader/4
	order.PutUint16(ip[2:], uint16(len(b)))
	order.PutUint16(ip[6:], 0x4000) // do not fragment
	ip[8], ip[9] = 64, unix.IPPROTO_UDP
	copy(ip[12:], source[:])
	copy(ip[16:], target[:])
	order.PutUint16(ip[10:], ^sum(0, ip))

	udp := b[ipHeader:]
	order.PutUint16(udp[0:], from.Port())
	order.PutUint16(udp[2:], to.Port())
	order.PutUint16(udp[4:], uint16(len(udp)))
	pseudo := sum(uint32(unix.IPPROTO_UDP)+uint32(len(udp)), ip[12:20])
	check := ^sum(uint32(pseudo), udp)
	if check == 0 { // 0 would mean "no checksum"
		check = 0xffff
	}
	order.PutUint16(udp[6:], check)
	return b
}

// sum adds b to start in ones' complement (RFC 1071).
func sum(start uint32, b []byte) uint16 {
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
