package netboot

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/ipv6"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/netboot/dhcp"
)

// solicitation returns what a machine solicits with, and what is after it.
func solicitation(mac fleet.MAC, more ...byte) []byte {
	b := append([]byte{133, 0, 0xab, 0xcd, 0, 0, 0, 0, 1, 1}, mac[:]...)
	return append(b, more...)
}

func TestSolicitationsAreThoseOfIPXE(t *testing.T) {
	own := netip.MustParseAddr("fe80::5054:ff:fe00:1")
	changed := func(at int, to byte) []byte { b := solicitation(nodeMAC); b[at] = to; return b }
	for name, c := range map[string]struct {
		source   netip.Addr
		hopLimit int
		b        []byte
		want     string // part of the error, "" if there is none
	}{
		"iPXE":                      {own, 255, solicitation(nodeMAC), ""},
		"with its zone":             {own.WithZone("br0"), 255, solicitation(nodeMAC), ""},
		"with an unknown option":    {own, 255, solicitation(nodeMAC, 14, 1, 0, 0, 0, 0, 0, 0), ""},
		"through a router":          {own, 254, solicitation(nodeMAC), "not from this link"},
		"made-up address":           {netip.MustParseAddr("fe80::1234:5678:9abc:def0"), 255, solicitation(nodeMAC), "not made of"},
		"global address":            {netip.MustParseAddr("2001:db8::5054:ff:fe00:1"), 255, solicitation(nodeMAC), "not made of"},
		"another's address":         {netip.MustParseAddr("fe80::5054:ff:fe00:2"), 255, solicitation(nodeMAC), "not made of"},
		"no address yet":            {netip.IPv6Unspecified(), 255, solicitation(nodeMAC), "not made of"},
		"no source":                 {netip.Addr{}, 255, solicitation(nodeMAC), "not made of"},
		"no option":                 {own, 255, solicitation(nodeMAC)[:8], "not made of"},
		"option for another medium": {own, 255, append(changed(9, 2), make([]byte, 8)...), "not made of"},
		"another message":           {own, 255, changed(0, 135), "no router solicitation"},
		"another code":              {own, 255, changed(1, 1), "no router solicitation"},
		"nothing":                   {own, 255, nil, "no router solicitation"},
		"cut short":                 {own, 255, solicitation(nodeMAC)[:7], "no router solicitation"},
		"option cut short":          {own, 255, solicitation(nodeMAC)[:15], "broken option"},
		"option of no length":       {own, 255, changed(9, 0), "broken option"},
		"option beyond the end":     {own, 255, changed(9, 2), "broken option"},
		"rest of one byte":          {own, 255, solicitation(nodeMAC, 0), "broken option"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseSolicitation(c.source, c.hopLimit, c.b)
			if c.want == "" && (err != nil || got != nodeMAC) {
				t.Errorf("got %s, %v; want %s", got, err, nodeMAC)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got error %v, want %q in it", err, c.want)
			}
		})
	}
}

func FuzzSolicitation(f *testing.F) {
	for _, b := range [][]byte{
		solicitation(nodeMAC), solicitation(nodeMAC)[:8], solicitation(nodeMAC, 14, 1, 0, 0, 0, 0, 0, 0), solicitation(fleet.MAC{}),
		{133, 0, 0, 0, 0, 0, 0, 0, 1, 0}, {133, 0, 0, 0, 0, 0, 0, 0, 1, 255, 1}, {134}, nil,
	} {
		f.Add(linkLocal(nodeMAC).AsSlice(), b)
	}
	f.Fuzz(func(t *testing.T, from, b []byte) {
		source, _ := netip.AddrFromSlice(from)
		mac, err := parseSolicitation(source, discoveryHopLimit, b)
		if err == nil && (source != linkLocal(mac) || !bytes.Contains(b, mac[:]) || mac == (fleet.MAC{})) {
			t.Errorf("% x from %s is taken for one of %s", b, source, mac)
		}
	})
}

func TestWhoIsAdvertisedTo(t *testing.T) {
	const link, elsewhere = 3, 4
	type machine struct {
		*Server
		clock *time.Time
	}
	type step = func(machine)
	asks := func(kind dhcp.Kind, mac fleet.MAC, link int) step {
		return func(m machine) { m.expect(dhcp.Decision{Client: dhcp.Client{MAC: mac, Kind: kind}}, link) }
	}
	ipxe, firmware, system := asks(dhcp.IPXE, nodeMAC, link), asks(dhcp.PXE, nodeMAC, link), asks(dhcp.Plain, nodeMAC, link)
	relayed := func(m machine) {
		m.expect(dhcp.Decision{Client: dhcp.Client{MAC: nodeMAC, Kind: dhcp.IPXE}, Relay: netip.MustParseAddr("10.1.3.254")}, link)
	}
	loader := func(m machine) { m.boots.sent(nodeMAC, fleet.PhaseLoader, "file") }
	script := func(m machine) {
		m.boots.script(nodeMAC, "id", netip.MustParseAddr("10.1.0.11"))
		m.boots.sent(nodeMAC, fleet.PhaseScript, "image")
	}
	later := func(d time.Duration) step { return func(m machine) { *m.clock = m.clock.Add(d) } }
	soliciting := func(times int) step {
		return func(m machine) {
			for range times {
				m.advertises(nodeMAC, link)
			}
		}
	}
	off := func(m machine) {
		state := m.cfg.State()
		network, ok := state.Network("boot")
		if !ok {
			t.Fatal("there is no network boot")
		}
		network.DHCP = fleet.DHCPOff
		state, err := state.Apply(fleet.Entry{Command: fleet.PutNetwork{Network: network}}, state.Revision()+1)
		if err != nil {
			t.Fatal(err)
		}
		m.Server.cfg.State = func() fleet.State { return state }
	}

	for name, c := range map[string]struct {
		steps []step
		mac   fleet.MAC
		want  bool
	}{
		"iPXE with its answer":          {[]step{ipxe}, nodeMAC, true},
		"iPXE after its firmware":       {[]step{firmware, loader, ipxe}, nodeMAC, true},
		"iPXE on a proxy network":       {[]step{asks(dhcp.IPXE, labMAC, link)}, labMAC, true},
		"iPXE as often as it solicits":  {[]step{ipxe, soliciting(solicitAnswers - 1)}, nodeMAC, true},
		"iPXE more often":               {[]step{ipxe, soliciting(solicitAnswers)}, nodeMAC, false},
		"iPXE that begins again":        {[]step{ipxe, soliciting(solicitAnswers), ipxe}, nodeMAC, true},
		"before DHCP":                   {nil, nodeMAC, false},
		"firmware":                      {[]step{firmware, loader}, nodeMAC, false},
		"firmware after a reset":        {[]step{ipxe, loader, firmware}, nodeMAC, false},
		"reset before its script":       {[]step{ipxe, firmware}, nodeMAC, false},
		"system from disk asks":         {[]step{ipxe, system}, nodeMAC, false},
		"after its script":              {[]step{ipxe, script}, nodeMAC, false},
		"running system":                {[]step{ipxe, script, system}, nodeMAC, false},
		"system without a boot":         {[]step{system}, nodeMAC, false},
		"booted from disk after all":    {[]step{ipxe, later(solicitWindow)}, nodeMAC, false},
		"asked by another interface":    {[]step{asks(dhcp.IPXE, nodeMAC, elsewhere)}, nodeMAC, false},
		"asked through a relay":         {[]step{relayed}, nodeMAC, false},
		"machine of nobody":             {[]step{asks(dhcp.IPXE, alienMAC, link)}, alienMAC, false},
		"another node":                  {[]step{ipxe}, bareMAC, false},
		"DHCP switched off in between":  {[]step{ipxe, off}, nodeMAC, false},
		"controller started after DHCP": {[]step{loader}, nodeMAC, false},
	} {
		t.Run(name, func(t *testing.T) {
			clock, state := time.Unix(1000, 0), testState(t, 1)
			m := machine{&Server{cfg: Config{State: func() fleet.State { return state }}, boots: newBoots(newWitness(), func() time.Time { return clock })}, &clock}
			for _, step := range c.steps {
				step(m)
			}
			if got := m.advertises(c.mac, link); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestInterfacesAreJoinedWithinBounds(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0") // joins no IPv6 group, as where IPv6 is off
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a := &advertiser{conn: ipv6.NewPacketConn(c), joined: map[int]bool{}}
	for i := range 2 * maxLinks {
		if err := a.join(1+i, i%2 == 0); err == nil {
			t.Fatalf("interface %d: the first failure is not reported", 1+i)
		}
		if err := a.join(1+i, true); err != nil {
			t.Fatalf("interface %d: the second failure is reported: %v", 1+i, err)
		}
	}
	if len(a.joined) > maxLinks {
		t.Errorf("%d interfaces, want at most %d", len(a.joined), maxLinks)
	}
}

// TestServerRunsWithoutAdvertisements has machines boot where there is no IPv6, and where it goes away.
func TestServerRunsWithoutAdvertisements(t *testing.T) {
	broken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = broken.Close()
	for name, c := range map[string]struct {
		a    *advertiser
		want int // lines of the log
	}{
		"never there": {nil, 0},                                                                   // Open said so
		"gone":        {&advertiser{conn: ipv6.NewPacketConn(broken), joined: map[int]bool{}}, 2}, // one for the socket, one for an interface without IPv6
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				s := &Server{cfg: Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, advertiser: c.a, links: newLinks(time.Now)}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- s.runAdvertiser(ctx) }()
				synctest.Wait()
				for range 3 {
					s.hearSolicitations(1) // loopback, which has no link-local address
				}
				if c.a != nil && c.a.join(2, true) != nil {
					t.Error("a closed socket is reported for each interface")
				}
				select {
				case err := <-ended:
					t.Fatalf("it ended by itself: %v", err)
				default:
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if got := strings.Count(log.String(), "level=INFO msg=\"router solicitations are not answered"); got != c.want {
					t.Errorf("%d lines, want %d:\n%s", got, c.want, log.String())
				}
			})
		})
	}
}
