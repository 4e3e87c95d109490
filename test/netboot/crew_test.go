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

// know tells those that live who is dead.
func (c *crew) know(dead *member) {
	var rest []*member
	var numbers []int
	for _, m := range c.members {
		if m != dead {
			rest, numbers = append(rest, m), append(numbers, m.number)
		}
	}
	for _, m := range rest {
		m.believe(numbers...)
	}
}

func (c *crew) lease(h *host) string {
	c.t.Helper()
	_ = os.Remove(h.path("env"))
	_ = os.Remove(h.path("leases"))
	script := h.recorder("env")
	h.until("bound to ", "dhclient", "-d", "-1", "-v", "-4", "-lf", h.path("leases"), "-pf", h.path("pid"), "-sf", script, "eth0")
	for line := range strings.Lines(h.read("env")) {
		if server, ok := strings.CutPrefix(strings.TrimSpace(line), "new_dhcp_server_identifier="); ok {
			return server
		}
	}
	c.t.Fatal("dhclient does not say whose lease it has")
	return ""
}

func TestDhclientIsServedWhoeverDies(t *testing.T) {
	need(t, "dhclient", "isc-dhcp-client")
	c := newCrew(t)
	h := c.plug(diskless)
	if got := c.lease(h); got != c.members[0].address.String() {
		t.Errorf("the lease is of %s, want %s, the first of three", got, c.members[0].address)
	}
	c.members[0].kill()
	if got := c.lease(h); got != c.members[1].address.String() {
		t.Errorf("the lease is of %s, want %s, which stands in for a dead controller that passes for alive", got, c.members[1].address)
	}
	c.know(c.members[0])
	c.members[1].kill()
	if got := c.lease(h); got != c.members[2].address.String() {
		t.Errorf("the lease is of %s, want %s, the last of three", got, c.members[2].address)
	}
	if got := c.members[2].stop(); got.StoodIn == 0 {
		t.Errorf("the last of three counted %+v", got)
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
				first := c.members[0]
				if got := offer.ServerIdentifier().String(); got != first.address.String() {
					return fmt.Errorf("the first offer is of %s, want %s", got, first.address)
				}
				first.kill()
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

// A stand-in's acknowledgement boots the client from the stand-in, and a client that is served hears of nobody else.
func TestAcknowledgementNamesWhoseOfferWasTakenAndWhoBoots(t *testing.T) {
	c := newCrew(t)
	n := c.plug(diskless).nic()
	options := firmware("PXEClient:Arch:00007:UNDI:003016", 7)
	discover := request(dhcpv4.MessageTypeDiscover, diskless, options)
	n.broadcast(discover.ToBytes())
	if got := n.receive(discover.TransactionID); got.ServerIdentifier().String() != c.members[0].address.String() {
		t.Fatalf("got %s", got.Summary())
	}
	ask := request(dhcpv4.MessageTypeRequest, diskless, options)
	ask.TransactionID = discover.TransactionID
	ask.UpdateOption(dhcpv4.OptServerIdentifier(c.members[0].address.AsSlice()))
	ask.UpdateOption(dhcpv4.OptRequestedIPAddress(net.IPv4(10, 77, 0, 11)))
	n.broadcast(ask.ToBytes())
	if got := n.receive(ask.TransactionID); got.MessageType() != dhcpv4.MessageTypeAck {
		t.Errorf("got %s", got.Summary())
	}
	if got, ok := n.receiveFor(ask.TransactionID, 1500*time.Millisecond); ok {
		t.Errorf("a client that was served heard also %s", got.Summary())
	}
	c.members[0].kill()
	c.know(c.members[0])
	ask.NumSeconds = 4
	n.broadcast(ask.ToBytes())
	got := n.receive(ask.TransactionID)
	if got.MessageType() != dhcpv4.MessageTypeAck || got.ServerIdentifier().String() != c.members[0].address.String() ||
		got.ServerIPAddr.String() != c.members[1].address.String() || got.from.Addr() != c.members[1].address {
		t.Errorf("got %s from %s", got.Summary(), got.from)
	}
}
