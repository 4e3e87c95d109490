package bootagent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
)

// otherInterfaces is how long the interface that BOOTIF names may stay away before any other will do.
const otherInterfaces = 15 * time.Second

// A bound is an interface with the address that it got.
type bound struct {
	name    string
	mac     fleet.MAC
	address address
}

func (b bound) String() string {
	return fmt.Sprintf("%s (%s) %s from %s", b.name, b.mac, b.address.Prefix, b.address.Server)
}

// bringUp brings up the interface with that MAC, or every one if mac is zero or does not show up, waits for a carrier,
// and configures the first that a DHCP server answers on.
func bringUp(ctx context.Context, mac fleet.MAC) (bound, error) {
	if lo, err := netlink.LinkByName("lo"); err == nil {
		if err := netlink.LinkSetUp(lo); err != nil {
			return bound{}, fmt.Errorf("bring up lo: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &linkWatch{wanted: mac, seen: map[string]string{}, asking: map[int]bool{}, results: make(chan dhcpResult)}
	b, err := w.run(ctx)
	if err != nil {
		return bound{}, err
	}
	return b, configure(b)
}

// A linkWatch follows the interfaces that there are, and asks for an address on those that have a carrier.
type linkWatch struct {
	wanted  fleet.MAC
	seen    map[string]string // by name: what can be said of an interface
	here    bool              // the wanted interface has been seen
	asking  map[int]bool      // by index: DHCP runs
	results chan dhcpResult
	errs    []error
}

type dhcpResult struct {
	index int
	bound bound
	err   error
}

func (w *linkWatch) run(ctx context.Context) (bound, error) {
	updates, done := make(chan netlink.LinkUpdate), make(chan struct{})
	defer func() {
		close(done)
		for range updates { // until the subscription has ended
		}
	}()
	if err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{ListExisting: true}); err != nil {
		close(updates)
		return bound{}, fmt.Errorf("watch network interfaces: %w", err)
	}
	anyone := time.NewTimer(otherInterfaces)
	defer anyone.Stop()
	for {
		select {
		case <-ctx.Done():
			return bound{}, w.reason()
		case <-anyone.C:
			if w.wanted == (fleet.MAC{}) || w.here {
				continue
			}
			w.wanted = fleet.MAC{}
			links, err := netlink.LinkList()
			if err != nil {
				return bound{}, fmt.Errorf("list network interfaces: %w", err)
			}
			for _, l := range links {
				w.consider(ctx, l)
			}
		case u, ok := <-updates:
			if !ok {
				updates = nil // the netlink socket failed; what runs may still succeed
				continue
			}
			if u.Header.Type == unix.RTM_NEWLINK {
				w.consider(ctx, u.Link)
			}
		case r := <-w.results:
			delete(w.asking, r.index)
			if r.err == nil {
				return r.bound, nil
			}
			w.errs = append(w.errs, r.err)
			return bound{}, joinErrors(w.errs)
		}
	}
}

// consider brings up an interface that qualifies, and starts DHCP on it once it has a carrier.
func (w *linkWatch) consider(ctx context.Context, l netlink.Link) {
	a := l.Attrs()
	mac, ok := ethernet(a)
	if !ok {
		return
	}
	text := mac.String()
	if w.wanted != (fleet.MAC{}) && mac != w.wanted {
		w.seen[a.Name] = text + " is not the one that booted"
		return
	}
	w.here = true
	switch {
	case a.RawFlags&unix.IFF_UP == 0:
		text += " is down"
		if err := netlink.LinkSetUp(l); err != nil {
			text += ": " + err.Error()
		}
	case a.RawFlags&unix.IFF_LOWER_UP == 0:
		text += " has no carrier: check the cable and the switch's port"
	default:
		text += " has a carrier, and waits for a DHCP server to answer"
		if !w.asking[a.Index] {
			w.asking[a.Index] = true
			go func() {
				b, err := askDHCP(ctx, a.Name, mac)
				select {
				case w.results <- dhcpResult{a.Index, b, err}:
				case <-ctx.Done():
				}
			}()
		}
	}
	w.seen[a.Name] = text
}

// reason says why no interface has got an address.
func (w *linkWatch) reason() error {
	if len(w.seen) == 0 {
		return errors.New("no network interface: the kernel has no driver for this machine's, or the initramfs lacks it")
	}
	var texts []string
	for name, text := range w.seen {
		texts = append(texts, name+" "+text)
	}
	slices.Sort(texts)
	return errors.New(strings.Join(texts, "; "))
}

// ethernet returns the hardware address of an Ethernet interface that is not made of others.
func ethernet(a *netlink.LinkAttrs) (fleet.MAC, bool) {
	if a.EncapType != "ether" || a.RawFlags&unix.IFF_LOOPBACK != 0 || len(a.HardwareAddr) != 6 || a.MasterIndex != 0 {
		return fleet.MAC{}, false
	}
	return fleet.MAC(a.HardwareAddr), true
}

// askDHCP asks for an address on one interface.
func askDHCP(ctx context.Context, name string, mac fleet.MAC) (bound, error) {
	fail := func(err error) (bound, error) {
		return bound{}, fmt.Errorf("%s (%s): %w", name, mac, err)
	}
	client, err := nclient4.New(name, nclient4.WithTimeout(dhcpWait), nclient4.WithRetry(dhcpTries))
	if err != nil {
		return fail(fmt.Errorf("open a DHCP socket: %w", err))
	}
	defer client.Close()
	lease, err := client.Request(ctx, dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter,
		dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionClasslessStaticRoute))
	if errors.Is(err, nclient4.ErrNoResponse) {
		return fail(errNoAnswer)
	}
	if err != nil {
		return fail(fmt.Errorf("DHCP: %w", err))
	}
	a, err := parseAck(lease.ACK)
	if err != nil {
		return fail(err)
	}
	return bound{name, mac, a}, nil
}

// configure gives the interface its address and routes, and takes from it what an earlier attempt gave.
func configure(b bound) error {
	fail := func(what string, err error) error { return fmt.Errorf("%s: %s: %w", b.name, what, err) }
	l, err := netlink.LinkByName(b.name)
	if err != nil {
		return fail("look it up", err)
	}
	if b.address.MTU > 0 {
		if err := netlink.LinkSetMTU(l, b.address.MTU); err != nil {
			return fail(fmt.Sprintf("set MTU %d", b.address.MTU), err)
		}
	}
	old, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return fail("list its addresses", err)
	}
	want := ipNet(b.address.Prefix)
	for _, a := range old {
		if a.IPNet.String() != want.String() {
			if err := netlink.AddrDel(l, &a); err != nil {
				return fail("remove "+a.IPNet.String(), err)
			}
		}
	}
	if err := netlink.AddrReplace(l, &netlink.Addr{IPNet: want}); err != nil {
		return fail("add "+want.String(), err)
	}
	for _, r := range b.address.Routes {
		if err := netlink.RouteReplace(kernelRoute(l.Attrs().Index, b.address.Prefix, r)); err != nil {
			return fail(fmt.Sprintf("route %s via %s", r.To, r.Gateway), err)
		}
	}
	return nil
}

// kernelRoute puts a route into netlink's terms. A gateway outside the interface's network is reached directly
// nevertheless: some sites give /32 addresses.
func kernelRoute(index int, own netip.Prefix, r route) *netlink.Route {
	k := &netlink.Route{LinkIndex: index, Dst: ipNet(r.To)}
	if !r.Gateway.IsValid() {
		k.Scope = netlink.SCOPE_LINK
		return k
	}
	k.Gw = net.IP(r.Gateway.AsSlice())
	if !own.Contains(r.Gateway) {
		k.Flags = int(netlink.FLAG_ONLINK)
	}
	return k
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: net.IP(p.Addr().AsSlice()), Mask: net.CIDRMask(p.Bits(), 32)}
}
