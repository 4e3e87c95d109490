package netboot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/ipv6"
)

// An advertiser is the socket by which Router Solicitations come in and are answered. Its methods may be called from
// any goroutine.
type advertiser struct {
	conn *ipv6.PacketConn

	mu     sync.Mutex
	joined map[int]bool // by interface: whether solicitations are heard there
}

// listenSolicitations opens an advertiser that hears nothing yet.
func listenSolicitations() (*advertiser, error) {
	c, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, err
	}
	p := ipv6.NewPacketConn(c)
	var only ipv6.ICMPFilter
	only.SetAll(true)
	only.Accept(ipv6.ICMPTypeRouterSolicitation)
	err = errors.Join(
		p.SetICMPFilter(&only),
		p.SetControlMessage(ipv6.FlagInterface|ipv6.FlagHopLimit, true),
		p.SetHopLimit(discoveryHopLimit),
	)
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("set up the ICMPv6 socket: %w", err)
	}
	return &advertiser{conn: p, joined: map[int]bool{}}, nil
}

// allRouters is the group that solicitations are sent to (RFC 4291, 2.7.1).
func allRouters() *net.IPAddr { return &net.IPAddr{IP: net.IPv6linklocalallrouters} }

// errNoIPv6 says of an interface that nothing is heard by it: joining alone succeeds even where IPv6 is disabled.
var errNoIPv6 = errors.New("no link-local address; sysctl net.ipv6.conf shows whether IPv6 is disabled there")

// join hears the solicitations that come in by an interface, which has IPv6 or not. It reports the first failure there
// only, and tries again each time: an interface may be given IPv6 later. A closed socket is no failure.
func (a *advertiser) join(index int, ipv6 bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	heard, tried := a.joined[index]
	if heard {
		return nil
	}
	if !tried && len(a.joined) >= maxLinks { // most of them are gone by now
		for old := range a.joined {
			_ = a.conn.LeaveGroup(&net.Interface{Index: old}, allRouters())
		}
		clear(a.joined)
	}
	err := errNoIPv6
	if ipv6 {
		err = a.conn.JoinGroup(&net.Interface{Index: index}, allRouters())
	}
	a.joined[index] = err == nil
	if tried || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// send advertises to one machine, from the link-local address of the interface with that index.
func (a *advertiser) send(index int, to netip.Addr) error {
	_, err := a.conn.WriteTo(advertisement(), &ipv6.ControlMessage{IfIndex: index}, &net.IPAddr{IP: to.AsSlice()})
	return err
}

// noAdvertisements says that machines boot as without this service.
func (s *Server) noAdvertisements(where string, err error) {
	s.cfg.Logger.Info("router solicitations are not answered"+where+": where no IPv6 router does, each iPXE waits 16 s longer", "err", err)
}

// hearSolicitations makes ready for what an iPXE asks beside DHCP.
func (s *Server) hearSolicitations(index int) {
	if s.advertiser == nil || index == 0 {
		return
	}
	link := s.links.get(index)
	if err := s.advertiser.join(index, link.ipv6); err != nil {
		s.noAdvertisements(" on "+link.name, err)
	}
}

// runAdvertiser answers solicitations until ctx ends. That it cannot is no failure of the server.
func (s *Server) runAdvertiser(ctx context.Context) error {
	if s.advertiser != nil {
		conn := s.advertiser.conn
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		if err := s.receiveSolicitations(ctx); ctx.Err() == nil {
			s.noAdvertisements(" any more", err)
			_ = conn.Close()
		}
	}
	<-ctx.Done()
	return nil
}

// receiveSolicitations returns when the socket fails for good, or ctx ended.
func (s *Server) receiveSolicitations(ctx context.Context) error {
	b := make([]byte, maxDatagram)
	for failed := 0; ; {
		n, control, from, err := s.advertiser.conn.ReadFrom(b)
		if err != nil {
			failed++
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) || failed > maxReadErrors {
				return fmt.Errorf("receive: %w", err)
			}
			continue
		}
		failed = 0
		if address, ok := from.(*net.IPAddr); ok && control != nil {
			source, _ := netip.AddrFromSlice(address.IP)
			s.advertise(source, control.HopLimit, control.IfIndex, b[:n])
		}
	}
}

// advertise answers one solicitation, if it is to be answered.
func (s *Server) advertise(source netip.Addr, hopLimit, index int, b []byte) {
	mac, err := parseSolicitation(source, hopLimit, b)
	if err != nil || !s.advertises(mac, index) {
		s.cfg.Logger.Debug("router solicitation is not answered", "from", source, "err", err)
		return
	}
	if err := s.advertiser.send(index, source); err != nil { // iPXE solicits again
		s.cfg.Logger.Debug("router advertisement could not be sent", "mac", mac, "err", err)
		return
	}
	s.counters.advertisements.Add(1)
}
