package netboot_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"github.com/samara-hpc/samara/fleet"
)

// A crew is three controllers on one bridge. They are in the order in which they are to answer diskless.
type crew struct {
	*bench
	members []*member
}

type member struct {
	*server
	number  int
	address netip.Addr
}

func newCrew(t *testing.T) *crew {
	t.Helper()
	b := newBench(t)
	b.server.kill() // it thinks that it is alone
	all := controllers(3)
	c := &crew{bench: b}
	for _, who := range fleet.Order(diskless, all) {
		number := slices.IndexFunc(all, func(o fleet.Controller) bool { return o.ID == who.ID }) + 1
		namespace := b.name
		if number > 1 {
			namespace = b.plug(fleet.MAC{0x52, 0x54, 0, 0x77, 1, byte(number)}, who.Address.String()+"/24").name
		}
		c.members = append(c.members, &member{startServer(t, namespace, number, len(all)), number, who.Address})
	}
	return c
}

// without returns all but one.
func (c *crew) without(dead *member) []*member {
	return slices.DeleteFunc(slices.Clone(c.members), func(m *member) bool { return m == dead })
}

// know tells the others who is dead.
func (c *crew) know(dead *member) {
	var numbers []int
	for _, m := range c.without(dead) {
		numbers = append(numbers, m.number)
	}
	for _, m := range c.without(dead) {
		m.believe(numbers...)
	}
}

// kill ends a member.
func (c *crew) kill(m *member) {
	c.t.Helper()
	m.server.kill()
	c.members = c.without(m)
}

// at returns the member with that address. On a busy machine the first in the order may be late, and any other stand in.
func (c *crew) at(address string) *member {
	c.t.Helper()
	for _, m := range c.members {
		if m.address.String() == address {
			return m
		}
	}
	c.t.Fatalf("%s is no controller that lives", address)
	return nil
}

// awaitAny waits until some of those have said what ok accepts, and returns the first.
func (c *crew) awaitAny(some []*member, what string, ok func(line string) bool) *member {
	c.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, m := range some {
			if slices.ContainsFunc(m.said(), ok) {
				return m
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			for _, m := range some {
				c.t.Logf("%s said %q", m.address, m.said())
			}
			c.t.Fatalf("no controller said %s", what)
		}
	}
}

// lease returns whose lease dhclient gets.
func (c *crew) lease(h *host) *member {
	c.t.Helper()
	_ = os.Remove(h.path("env"))
	_ = os.Remove(h.path("leases"))
	script := h.recorder("env")
	h.until("bound to ", "dhclient", "-d", "-1", "-v", "-4", "-lf", h.path("leases"), "-pf", h.path("pid"), "-sf", script, "eth0")
	for line := range strings.Lines(h.read("env")) {
		if server, ok := strings.CutPrefix(strings.TrimSpace(line), "new_dhcp_server_identifier="); ok {
			return c.at(server)
		}
	}
	c.t.Fatal("dhclient does not say whose lease it has")
	return nil
}

func TestDhclientIsServedWhoeverDies(t *testing.T) {
	need(t, "dhclient", "isc-dhcp-client")
	c := newCrew(t)
	h := c.plug(diskless)
	served := map[*member]bool{}
	for range 3 {
		last := c.lease(h)
		served[last] = true
		if len(served) < 3 {
			c.kill(last) // and pass for alive with the others
		} else if got := last.stop(); got.StoodIn == 0 {
			t.Errorf("the last of three counted %+v", got)
		}
	}
}

// The agent's own client must get its acknowledgement when the controller whose offer it took is gone.
func TestOfferOutlivesItsController(t *testing.T) {
	for name, known := range map[string]bool{"known to be dead": true, "passes for alive": false} {
		t.Run(name, func(t *testing.T) {
			c := newCrew(t)
			h := c.plug(diskless)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			h.inside(func() error {
				client, err := nclient4.New("eth0", nclient4.WithTimeout(time.Second), nclient4.WithRetry(5))
				if err != nil {
					return err
				}
				defer client.Close()
				offer, err := client.DiscoverOffer(ctx)
				if err != nil {
					return err
				}
				first := c.at(offer.ServerIdentifier().String())
				c.kill(first)
				if known {
					c.know(first)
				}
				lease, err := client.RequestFromOffer(ctx, offer)
				if err != nil {
					return err
				}
				if !lease.ACK.YourIPAddr.Equal(net.IPv4(10, 77, 0, 11)) {
					return fmt.Errorf("got %s", lease.ACK.Summary())
				}
				return nil
			})
		})
	}
}

// A stand-in's acknowledgement boots the client from the stand-in, and a client that is served hears no other one.
func TestAcknowledgementNamesWhoseOfferWasTakenAndWhoBoots(t *testing.T) {
	c := newCrew(t)
	n := c.plug(diskless).nic()
	options := firmware("PXEClient:Arch:00007:UNDI:003016", 7)
	discover := request(dhcpv4.MessageTypeDiscover, diskless, options)
	n.broadcast(discover.ToBytes())
	first := c.at(n.receive(discover.TransactionID).ServerIdentifier().String())
	ask := request(dhcpv4.MessageTypeRequest, diskless, options)
	ask.TransactionID = discover.TransactionID
	ask.UpdateOption(dhcpv4.OptServerIdentifier(first.address.AsSlice()))
	ask.UpdateOption(dhcpv4.OptRequestedIPAddress(net.IPv4(10, 77, 0, 11)))
	acknowledged := func() frame {
		n.broadcast(ask.ToBytes())
		for {
			if got := n.receive(ask.TransactionID); got.MessageType() == dhcpv4.MessageTypeAck {
				return got
			}
		}
	}
	if got := acknowledged(); got.from.Addr() != first.address {
		t.Errorf("got %s from %s", got.Summary(), got.from)
	}
	for {
		got, ok := n.receiveFor(ask.TransactionID, 1500*time.Millisecond)
		if !ok {
			break
		}
		if got.MessageType() == dhcpv4.MessageTypeAck {
			t.Errorf("a client that was served heard also %s from %s", got.Summary(), got.from)
		}
	}
	c.know(first)
	c.kill(first)
	ask.NumSeconds = 4
	got := acknowledged()
	if got.ServerIdentifier().String() != first.address.String() || got.ServerIPAddr.String() != got.from.Addr().String() || got.from.Addr() == first.address {
		t.Errorf("got %s from %s", got.Summary(), got.from)
	}
}
