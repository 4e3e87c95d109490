package netboot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"

	"github.com/samara-hpc/samara/internal/netboot/dhcp"
)

// Bounds of the DHCP service. An answer takes about 20 µs, so a full queue is answered long before a client asks again.
const (
	dhcpWorkers   = 4
	queueSize     = 2048
	maxDatagram   = 2048 // bytes; a request fits one Ethernet frame
	maxReadErrors = 100  // one after the other
)

// An arrival is how a request came.
type arrival struct {
	listener *listener
	from     netip.AddrPort
	link     int  // index of the interface it came in by
	direct   bool // to an address of this machine, not to all
}

// A datagram is a request as it arrived.
type datagram struct {
	arrival
	bytes [maxDatagram]byte
	n     int
}

// runDHCP answers on ports 67 and 4011 until ctx ends.
func (s *Server) runDHCP(ctx context.Context) error {
	pool := &sync.Pool{New: func() any { return new(datagram) }}
	stop := context.AfterFunc(ctx, func() {
		_ = s.dhcp.conn.Close()
		_ = s.proxy.conn.Close()
	})
	defer stop()
	var workers, readers errgroup.Group
	for range dhcpWorkers {
		workers.Go(func() error {
			for d := range s.queue {
				s.handle(d)
				pool.Put(d)
			}
			return nil
		})
	}
	for _, l := range []*listener{s.dhcp, s.proxy} {
		readers.Go(func() error {
			err := s.receive(ctx, l, pool)
			_ = s.dhcp.conn.Close() // neither port is of use without the other
			_ = s.proxy.conn.Close()
			return err
		})
	}
	waiting, cancel := context.WithCancel(ctx)
	workers.Go(func() error {
		s.standIns.run(waiting, s.standIn)
		return nil
	})
	err := readers.Wait()
	cancel()
	close(s.queue)
	_ = workers.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// receive queues what arrives. A queue that is full drops: the client asks again.
func (s *Server) receive(ctx context.Context, l *listener, pool *sync.Pool) error {
	for failed := 0; ; {
		d := pool.Get().(*datagram)
		n, control, from, err := l.conn.ReadFrom(d.bytes[:])
		if err != nil {
			failed++
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) || failed > maxReadErrors {
				return fmt.Errorf("receive: %w", err)
			}
			s.cfg.Logger.Warn("DHCP receive", "err", err)
			continue
		}
		failed = 0
		s.counters.requests.Add(1)
		d.n, d.arrival = n, arrival{listener: l}
		if control != nil {
			d.link, d.direct = control.IfIndex, !control.Dst.Equal(net.IPv4bcast)
		}
		d.from = from.(*net.UDPAddr).AddrPort()
		d.from = netip.AddrPortFrom(d.from.Addr().Unmap(), d.from.Port())
		select {
		case s.queue <- d:
		default:
			s.counters.dropped.Add(1)
			pool.Put(d)
		}
	}
}

// handle answers one datagram. Whatever it holds, the next one is answered too.
func (s *Server) handle(d *datagram) {
	defer s.survive()
	req, err := dhcp.Parse(d.bytes[:d.n])
	if err != nil {
		s.counters.malformed.Add(1)
		s.cfg.Logger.Debug("DHCP", "from", d.from, "err", err)
		return
	}
	client, err := dhcp.ParseClient(req)
	if err != nil {
		s.counters.malformed.Add(1)
		s.cfg.Logger.Debug("DHCP", "from", d.from, "err", err)
		return
	}
	link := s.links.get(d.link)
	if len(s.cfg.Interfaces) > 0 && !slices.Contains(s.cfg.Interfaces, link.name) {
		return
	}
	now, state, mark := time.Now(), s.cfg.State(), imprintOf(req, d.listener.proxy)
	dropped, waits := s.standIns.heard(client.MAC, mark)
	s.counters.stoodDown.Add(uint64(dropped))
	_, isNode := state.NodeByMAC(client.MAC)
	switch s.gate.admit(client.MAC, mark, isNode, now) {
	case duplicate:
		s.counters.duplicates.Add(1)
		return
	case tooMany:
		s.counters.limited.Add(1)
		return
	}
	if waits {
		s.counters.duplicates.Add(1)
		return
	}
	reply, decision := dhcp.Answer(req, dhcp.Context{
		State: state, Server: s.cfg.Self.Address, BootPort: s.cfg.Self.Ports.Boot, Loaders: s.loaders.offer,
		Proxy: d.listener.proxy, Source: d.from, Links: link.prefixes,
	})
	if reply.Packet == nil {
		s.account(decision, link.name, now)
		if decision.Verdict == dhcp.Unknown && client.Boots() {
			s.claim(state, client.MAC, decision.Networks, now)
		}
		return
	}
	s.answerInTurn(d.arrival, mark, reply, decision, now)
}

// survive, deferred, keeps one request from stopping the server.
func (s *Server) survive() {
	if p := recover(); p != nil {
		s.counters.malformed.Add(1)
		s.cfg.Logger.Error("DHCP request broke its handler", "err", p, "stack", string(debug.Stack()))
	}
}

// answerInTurn answers at once, or holds the answer back in case no controller before this one answers.
func (s *Server) answerInTurn(at arrival, mark imprint, reply dhcp.Reply, d dhcp.Decision, now time.Time) {
	switch wait, ok := s.patience(d, mark, at, now); {
	case !ok:
		s.cfg.Logger.Debug("DHCP", "node", d.Node, "mac", d.Client.MAC, "reason", "takes the offer of "+d.Taken.String())
	case wait == 0:
		s.settle(at, mark, reply, d, now)
	default:
		held := &heldReply{due: now.Add(wait), mark: mark, at: at, reply: reply, decision: d}
		if !s.standIns.hold(d.Client.MAC, held) {
			s.counters.dropped.Add(1)
		}
	}
}

// settle sends an answer, and accounts for it.
func (s *Server) settle(at arrival, mark imprint, reply dhcp.Reply, d dhcp.Decision, now time.Time) {
	link := s.links.get(at.link)
	s.account(d, link.name, now)
	if d.Reason == "" { // before the client can go on to the next phase
		s.expect(d, at.link)
	}
	if err := s.deliver(at, reply); err != nil {
		s.counters.sendErrors.Add(1)
		if s.hush.says("send "+link.name+reply.To.String(), now) {
			s.cfg.Logger.Warn("DHCP reply could not be sent", "node", d.Node, "mac", d.Client.MAC, "interface", link.name, "to", reply.To, "err", err)
		}
		return
	}
	s.counters.answers.Add(1)
	s.gate.answer(d.Client.MAC, mark, now)
}

// expect makes ready for what a client asks next. What it sends by multicast is heard here only if its request was.
func (s *Server) expect(d dhcp.Decision, link int) {
	if d.Relay.IsValid() {
		link = 0
	}
	if d.Client.Boots() {
		s.hearSolicitations(link)
	}
	s.boots.dhcp(d.Client, link)
}

// account counts a decision, and reports what an operator can act on.
func (s *Server) account(d dhcp.Decision, link string, now time.Time) {
	switch d.Verdict {
	case dhcp.Malformed:
		s.counters.malformed.Add(1)
	case dhcp.Unknown:
		s.counters.unknown.Add(1)
		from := link
		if d.Relay.IsValid() {
			from = "relay " + d.Relay.String()
		}
		s.cfg.Observer.Unknown(d.Unknown(from, now))
	case dhcp.Decline:
		s.counters.declined.Add(1)
		if s.hush.says(d.Reason, now) {
			s.cfg.Logger.Warn("DHCP request is not answered", "node", d.Node, "mac", d.Client.MAC, "err", d.Reason)
		}
	case dhcp.Ignore, dhcp.Answered:
		s.cfg.Logger.Debug("DHCP", "node", d.Node, "mac", d.Client.MAC, "boot", d.Boot, "reason", d.Reason)
	}
}

// send delivers a reply on its way, from the address that it names as its server's.
func (s *Server) send(d arrival, r dhcp.Reply) error {
	b := r.Packet.ToBytes()
	source := s.cfg.Self.Address.As4()
	control := &ipv4.ControlMessage{Src: source[:]}
	to := r.To
	switch r.Way {
	case dhcp.Link:
		err := s.frames.send(d.link, r.MAC, netip.AddrPortFrom(s.cfg.Self.Address, dhcp.ServerPort), r.To, b)
		if err == nil {
			return nil
		}
		s.cfg.Logger.Debug("DHCP reply is broadcast instead", "mac", r.MAC, "err", err)
		to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), dhcp.ClientPort)
		control.IfIndex = d.link
	case dhcp.Broadcast:
		control.IfIndex = d.link
	}
	_, err := d.listener.conn.WriteTo(b, control, net.UDPAddrFromAddrPort(to))
	return err
}
