package netboot

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/netboot/dhcp"
)

// A crew is several controllers on one link, without the link. Its members are in the order in which they are to answer
// nodeMAC. It is used within a bubble of synctest.
type crew struct {
	t       *testing.T
	begin   time.Time
	members []*Server
	live    []fleet.Controller

	mu   sync.Mutex
	sent []string
}

func newCrew(t *testing.T, n int) *crew {
	t.Helper()
	c := &crew{t: t, begin: time.Now(), live: fleet.Order(nodeMAC, controllersAt([4]byte{127, 0, 0, 1}, n))}
	state := stateOf(t, slices.Clone(c.live))
	ctx, cancel := context.WithCancel(t.Context())
	for i, self := range c.live {
		config := testConfig(t, newWitness())
		config.State, config.Self = func() fleet.State { return state }, self
		config.Self.Ports.Boot = 0
		config.Live = func() []fleet.Controller { return c.live }
		s := open(t, config)
		s.deliver = func(_ arrival, r dhcp.Reply) error {
			named := slices.IndexFunc(c.members, func(o *Server) bool { return o.cfg.Self.Address.String() == r.Packet.ServerIdentifier().String() })
			boots := slices.IndexFunc(c.members, func(o *Server) bool { return o.cfg.Self.Address.String() == r.Packet.ServerIPAddr.String() })
			c.mu.Lock()
			defer c.mu.Unlock()
			c.sent = append(c.sent, fmt.Sprintf("%s: %d sends %s of %d to boot from %d", time.Since(c.begin), i, r.Packet.MessageType(), named, boots))
			return nil
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.standIns.run(ctx, s.standIn)
		}()
		t.Cleanup(func() { <-done })
		c.members = append(c.members, s)
	}
	t.Cleanup(cancel)
	return c
}

// hear lets those members hear a request.
func (c *crew) hear(p *dhcpv4.DHCPv4, members ...int) {
	for _, m := range members {
		s := c.members[m]
		d := &datagram{arrival: arrival{listener: s.dhcp, from: netip.MustParseAddrPort("0.0.0.0:68")}}
		d.n = copy(d.bytes[:], p.ToBytes())
		s.handle(d)
	}
}

// die takes a member out of those that are known to live.
func (c *crew) die(member int) {
	id := c.members[member].cfg.Self.ID
	c.live = slices.DeleteFunc(slices.Clone(c.live), func(o fleet.Controller) bool { return o.ID == id })
}

func (c *crew) address(member int) netip.Addr { return c.members[member].cfg.Self.Address }

func (c *crew) wants(lines ...string) {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if got, want := strings.Join(c.sent, "\n"), strings.Join(lines, "\n"); got != want {
		c.t.Errorf("sent:\n%s\nwant:\n%s", got, want)
	}
}

// taking makes p take the offer of a server.
func taking(p *dhcpv4.DHCPv4, server netip.Addr) *dhcpv4.DHCPv4 {
	p.UpdateOption(dhcpv4.OptServerIdentifier(server.AsSlice()))
	p.UpdateOption(dhcpv4.OptRequestedIPAddress(net.IPv4(10, 1, 0, 11)))
	return p
}

func discover() *dhcpv4.DHCPv4 { return request(dhcpv4.MessageTypeDiscover, nodeMAC, 0) }

// next is the client's next request in the exchange that p began.
func next(p *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	r := request(dhcpv4.MessageTypeRequest, nodeMAC, p.NumSeconds)
	r.TransactionID = p.TransactionID
	return r
}

func TestStandInsAnswerInTurn(t *testing.T) {
	const offer0, offer1 = "0s: 0 sends OFFER of 0 to boot from 0", "200ms: 1 sends OFFER of 1 to boot from 1"
	for name, c := range map[string]struct {
		do   func(*crew)
		want []string
	}{
		"a client that takes no offer hears of everyone": {func(c *crew) {
			c.hear(discover(), 0, 1, 2)
		}, []string{offer0, offer1, "400ms: 2 sends OFFER of 2 to boot from 2"}},
		"a client that goes on is left alone": {func(c *crew) {
			d := discover()
			c.hear(d, 0, 1, 2)
			time.Sleep(50 * time.Millisecond)
			c.hear(taking(next(d), c.address(0)), 0, 1, 2)
		}, []string{offer0, "50ms: 0 sends ACK of 0 to boot from 0"}},
		"a client that begins anew is answered anew": {func(c *crew) {
			c.hear(discover(), 1, 2)
			time.Sleep(100 * time.Millisecond)
			c.hear(discover(), 1, 2)
		}, []string{"300ms: 1 sends OFFER of 1 to boot from 1", "500ms: 2 sends OFFER of 2 to boot from 2"}},
		"a client that asks again does not put the answer off": {func(c *crew) {
			d := discover()
			c.hear(d, 1)
			time.Sleep(100 * time.Millisecond)
			d.NumSeconds++
			c.hear(d, 1)
		}, []string{offer1}},
		"the first is dead and nobody knows": {func(c *crew) {
			d := discover()
			c.hear(d, 1, 2)
			time.Sleep(250 * time.Millisecond)
			c.hear(taking(next(d), c.address(1)), 1, 2)
		}, []string{offer1, "250ms: 1 sends ACK of 1 to boot from 1"}},
		"the first is known to be dead": {func(c *crew) {
			c.die(0)
			c.hear(discover(), 1, 2)
		}, []string{"0s: 1 sends OFFER of 1 to boot from 1", "200ms: 2 sends OFFER of 2 to boot from 2"}},
		"the first died after its offer, and this is known": {func(c *crew) {
			d := discover()
			c.hear(d, 0, 1, 2)
			c.die(0)
			time.Sleep(50 * time.Millisecond)
			c.hear(taking(next(d), c.address(0)), 1, 2)
		}, []string{offer0, "50ms: 1 sends ACK of 0 to boot from 1", "250ms: 2 sends ACK of 0 to boot from 2"}},
		"the first died after its offer, and nobody knows": {func(c *crew) {
			d := discover()
			c.hear(d, 0, 1, 2)
			time.Sleep(50 * time.Millisecond)
			r := taking(next(d), c.address(0))
			c.hear(r, 1, 2)
			time.Sleep(250 * time.Millisecond)
			c.hear(r, 1, 2)
		}, []string{offer0, "500ms: 1 sends ACK of 0 to boot from 1", "700ms: 2 sends ACK of 0 to boot from 2"}},
		"a copy of a request is not another try": {func(c *crew) {
			r := taking(next(discover()), c.address(0))
			c.hear(r, 1)
			time.Sleep(10 * time.Millisecond)
			c.hear(r, 1)
		}, nil},
		"the client takes the offer of a server that is not ours": {func(c *crew) {
			d := discover()
			c.hear(d, 1)
			r := taking(next(d), netip.MustParseAddr("10.1.3.254"))
			c.hear(r, 1)
			time.Sleep(time.Second)
			c.hear(r, 1)
		}, nil},
		"a system confirms its address": {func(c *crew) {
			r := next(discover())
			r.UpdateOption(dhcpv4.OptRequestedIPAddress(net.IPv4(10, 1, 0, 11)))
			c.hear(r, 0, 1)
		}, []string{"0s: 0 sends ACK of 0 to boot from 0", "200ms: 1 sends ACK of 1 to boot from 1"}},
		"two relay agents pass one request on": {func(c *crew) {
			d := discover()
			d.GatewayIPAddr = net.IPv4(10, 1, 3, 1)
			c.hear(d, 1)
			d.GatewayIPAddr = net.IPv4(10, 1, 3, 2)
			c.hear(d, 1)
		}, []string{offer1, offer1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				crew := newCrew(t, 3)
				c.do(crew)
				time.Sleep(5 * time.Second)
				crew.wants(c.want...)
			})
		})
	}
}

func TestRequestToOneControllerAloneIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 3)
		s := c.members[2]
		for i, at := range []arrival{{listener: s.proxy}, {listener: s.dhcp, direct: true}} {
			d := &datagram{arrival: at}
			d.from = netip.MustParseAddrPort("10.1.0.11:68")
			r := next(request(dhcpv4.MessageTypeDiscover, nodeMAC, uint16(i)))
			r.ClientIPAddr = net.IPv4(10, 1, 0, 11)
			d.n = copy(d.bytes[:], r.ToBytes())
			s.handle(d)
		}
		c.wants("0s: 2 sends ACK of 2 to boot from 2", "0s: 2 sends ACK of 2 to boot from 2")
	})
}

func TestStandInDelayHasAnEnd(t *testing.T) {
	for place, want := range map[int]time.Duration{0: 0, 1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 5: time.Second, 8: time.Second} {
		if got := standInDelay(place); got != want {
			t.Errorf("place %d: %s, want %s", place, got, want)
		}
	}
}

func TestStandInsAreBounded(t *testing.T) {
	s := newStandIns()
	begin := time.Unix(0, 0)
	hold := func(i int) bool {
		m := fleet.MAC{0x52, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}
		return s.hold(m, &heldReply{due: begin.Add(time.Duration(i%7) * time.Second), decision: dhcp.Decision{Client: dhcp.Client{MAC: m}}})
	}
	for i := range maxStandIns {
		if !hold(i) {
			t.Fatalf("number %d did not fit", i)
		}
	}
	if hold(maxStandIns) {
		t.Errorf("more than %d were held", maxStandIns)
	}
	last := time.Time{}
	for range maxStandIns {
		h, _ := s.take(begin.Add(time.Minute))
		if h == nil || h.due.Before(last) {
			t.Fatalf("got %+v after %s", h, last)
		}
		last = h.due
	}
	if h, next := s.take(begin.Add(time.Minute)); h != nil || !next.IsZero() || len(s.byMachine) != 0 {
		t.Errorf("got %v and %s from an empty queue, %d machines are left", h, next, len(s.byMachine))
	}
	m := fleet.MAC{0x52}
	for i := range maxPerMachine + 1 {
		if got := s.hold(m, &heldReply{mark: imprint{giaddr: [4]byte{byte(i)}}}); got != (i < maxPerMachine) {
			t.Errorf("answer %d to one machine: held %t", i, got)
		}
	}
}

func TestControllersAnswerAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 3)
		var mu sync.Mutex
		var answers []string
		for i, s := range c.members {
			self := s.cfg.Self.Address
			s.deliver = func(_ arrival, r dhcp.Reply) error {
				r.Packet.ServerIPAddr, r.Packet.ServerHostName = nil, ""
				r.Packet.Options.Del(dhcpv4.OptionServerIdentifier)
				r.Packet.Options.Del(dhcpv4.OptionTFTPServerName)
				mu.Lock()
				defer mu.Unlock()
				answers = append(answers, strings.ReplaceAll(r.Packet.Summary(), self.String(), "SERVER"))
				return nil
			}
			d := discover()
			d.TransactionID = dhcpv4.TransactionID{1}
			c.hear(d, i)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(answers) != 3 || answers[0] != answers[1] || answers[1] != answers[2] {
			t.Errorf("got %q", answers)
		}
	})
}
