package bootagent

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
)

// netName is the role of the test binary in a network of its own: a cable, with a DHCP server at one end.
const netName = "@test-net"

var nodeMAC = fleet.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}

// The interface that booted is down at first. It gets the address, the routes and the MTU that the server gave; what it
// had before is taken away; and a second time changes nothing.
func TestBringUpTheBootInterface(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "/proc/self/exe")
	c.Args = []string{netName}
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"bound node0 (52:54:00:12:34:56) 10.1.0.11/16 from 10.1.0.1\n",
		"addresses 10.1.0.11/16\n",
		"routes 0.0.0.0/0 via 10.1.0.1, 10.1.0.0/16 via <nil>\n",
		"mtu 1400\n",
		"nobody answers: head0 5a:00:00:00:00:01 is not the one that booted; node0 52:54:00:12:34:56 has a carrier, and waits for a DHCP server to answer\n",
		"no cable: head0 5a:00:00:00:00:01 is not the one that booted; node0 52:54:00:12:34:56 has no carrier: check the cable and the switch's port\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("missing %q in\n%s", want, out)
		}
	}
}

func roleNet() int {
	if err := testNetwork(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func testNetwork() error {
	cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "node0", HardwareAddr: nodeMAC[:]}, PeerName: "head0",
		PeerHardwareAddr: net.HardwareAddr{0x5a, 0, 0, 0, 0, 1}}
	if err := netlink.LinkAdd(cable); err != nil {
		return fmt.Errorf("make a cable: %w", err)
	}
	head, err := netlink.LinkByName("head0")
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.1.0.1/16"))}
	if err := netlink.AddrAdd(head, addr); err != nil {
		return err
	}
	stale := &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("192.0.2.7/24"))}
	if err := netlink.AddrAdd(cable, stale); err != nil {
		return err
	}
	short, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err = bringUp(short, nodeMAC)
	fmt.Println("no cable:", err)
	if err := netlink.LinkSetUp(head); err != nil {
		return err
	}
	server, err := server4.NewServer("head0", &net.UDPAddr{Port: dhcpv4.ServerPort}, serveDHCP)
	if err != nil {
		return fmt.Errorf("DHCP server: %w", err)
	}
	go func() { _ = server.Serve() }()
	for range 2 {
		b, err := bringUp(context.Background(), nodeMAC)
		if err != nil {
			return err
		}
		fmt.Println("bound", b)
	}
	if err := describeNetwork(); err != nil {
		return err
	}
	_ = server.Close()
	short, cancel = context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err = bringUp(short, nodeMAC)
	fmt.Println("nobody answers:", err)
	return nil
}

func serveDHCP(conn net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
	kind := dhcpv4.MessageTypeOffer
	if m.MessageType() == dhcpv4.MessageTypeRequest {
		kind = dhcpv4.MessageTypeAck
	}
	answer, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(net.IPv4(10, 1, 0, 11)),
		dhcpv4.WithNetmask(net.CIDRMask(16, 32)), dhcpv4.WithRouter(net.IPv4(10, 1, 0, 1)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 1, 0, 1))), dhcpv4.WithLeaseTime(3600),
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x05, 0x78})))
	if err == nil {
		_, err = conn.WriteTo(answer.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ClientPort})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve", peer, err)
	}
}

func describeNetwork() error {
	l, err := netlink.LinkByName("node0")
	if err != nil {
		return err
	}
	addresses, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		fmt.Println("addresses", a.IPNet)
	}
	routes, err := netlink.RouteList(l, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	var texts []string
	for _, r := range routes {
		texts = append(texts, fmt.Sprintf("%s via %s", r.Dst, r.Gw))
	}
	fmt.Println("routes", strings.Join(texts, ", "))
	fmt.Println("mtu", l.Attrs().MTU)
	return nil
}
