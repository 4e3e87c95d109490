package dhcp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/samara-hpc/samara/fleet"
)

var (
	knownMAC = fleet.MAC{0x52, 0x54, 0, 0, 0, 1}  // n1, 10.1.0.11, network boot (full), without an image
	proxyMAC = fleet.MAC{0x52, 0x54, 0, 0, 0, 2}  // n2, 10.2.0.12, network lab (proxy)
	quietMAC = fleet.MAC{0x52, 0x54, 0, 0, 0, 3}  // n3, 10.3.0.13, network office (off)
	bareMAC  = fleet.MAC{0x52, 0x54, 0, 0, 0, 4}  // n4, without an address
	alienMAC = fleet.MAC{0x52, 0x54, 0, 0, 0, 99} // nobody's
	server   = netip.MustParseAddr("10.1.0.1")
)

func testState(t testing.TB) fleet.State {
	t.Helper()
	key := fleet.Secret(bytes.Repeat([]byte{7}, 32))
	addr := netip.MustParseAddr
	network := func(name, subnet string, mode fleet.DHCPMode) fleet.Network {
		return fleet.Network{Name: name, Subnet: netip.MustParsePrefix(subnet), DHCP: mode}
	}
	full := network("boot", "10.1.0.0/22", fleet.DHCPFull)
	full.Gateway, full.DNS, full.Domain = addr("10.1.0.254"), []netip.Addr{addr("10.1.0.2"), addr("10.1.0.3")}, "cluster.example"
	node := func(name string, mac fleet.MAC, ip string) fleet.Node {
		n := fleet.Node{Name: name, Settings: fleet.Settings{Interfaces: []fleet.Interface{{Name: "default", MAC: mac}}}}
		if ip != "" {
			n.Interfaces[0].IP = addr(ip)
		}
		return n
	}
	var s fleet.State
	for rev, c := range []fleet.Command{
		fleet.InitCluster{
			Cluster: fleet.Cluster{
				Name: "test", ID: "id", CA: []byte("ca"), CAKey: key, MeshKey: key, TokenKey: key, IDKey: key,
				Controllers: []fleet.Controller{{ID: "c1", Address: server, Ports: fleet.DefaultPorts}, {ID: "c2", Address: addr("10.1.0.5"), Ports: fleet.DefaultPorts}},
			},
			Networks: []fleet.Network{full, network("lab", "10.2.0.0/24", fleet.DHCPProxy), network("office", "10.3.0.0/24", fleet.DHCPOff)},
		},
		fleet.AddNodes{Nodes: []fleet.Node{
			node("n1", knownMAC, "10.1.0.11"), node("n2", proxyMAC, "10.2.0.12"), node("n3", quietMAC, "10.3.0.13"), node("n4", bareMAC, ""),
		}},
	} {
		var err error
		if s, err = s.Apply(fleet.Entry{Command: c}, fleet.Revision(rev+1)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func testContext(t testing.TB) Context {
	return Context{
		State: testState(t), Server: server, BootPort: 7601,
		Loaders: Loaders{BIOS: "undionly.kpxe", X64: "snponly.efi", ARM64: "snponly-arm64.efi"},
		Source:  netip.MustParseAddrPort("0.0.0.0:68"),
		Links:   []netip.Prefix{netip.MustParsePrefix("10.1.0.1/22")},
	}
}

// A change is one step in making a request.
type change = func(*dhcpv4.DHCPv4)

func option(code uint8, value ...byte) change {
	return func(p *dhcpv4.DHCPv4) { p.Options[code] = value }
}
func text(code uint8, value string) change { return option(code, []byte(value)...) }
func ip(code uint8, a string) change       { return option(code, netip.MustParseAddr(a).AsSlice()...) }
func arch(a uint16) change                 { return option(93, binary.BigEndian.AppendUint16(nil, a)...) }
func giaddr(a string) change {
	return func(p *dhcpv4.DHCPv4) { p.GatewayIPAddr = netip.MustParseAddr(a).AsSlice() }
}
func ciaddr(a string) change {
	return func(p *dhcpv4.DHCPv4) { p.ClientIPAddr = netip.MustParseAddr(a).AsSlice() }
}
func broadcast(p *dhcpv4.DHCPv4) { p.SetBroadcast() }

func pxe(a uint16) change {
	return func(p *dhcpv4.DHCPv4) {
		arch(a)(p)
		text(60, fmt.Sprintf("PXEClient:Arch:%05d:UNDI:003016", a))(p)
		option(97, append([]byte{0}, bytes.Repeat([]byte{0xab}, 16)...)...)(p)
	}
}
func httpBoot(a uint16) change {
	return func(p *dhcpv4.DHCPv4) {
		pxe(a)(p)
		text(60, fmt.Sprintf("HTTPClient:Arch:%05d:UNDI:003016", a))(p)
	}
}
func ipxe(a uint16, features ...byte) change {
	return func(p *dhcpv4.DHCPv4) {
		pxe(a)(p)
		text(77, "iPXE")(p)
		option(175, features...)(p)
	}
}

func request(kind dhcpv4.MessageType, mac fleet.MAC, changes ...change) *dhcpv4.DHCPv4 {
	p, _ := dhcpv4.New(dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(mac[:]))
	p.TransactionID = dhcpv4.TransactionID{1, 2, 3, 4}
	for _, c := range changes {
		c(p)
	}
	return p
}

// describe writes what matters of an outcome on one line.
func describe(r Reply, d Decision) string {
	if r.Packet == nil {
		return [...]string{"ignore", "malformed", "unknown", "decline", "answered without a packet"}[d.Verdict]
	}
	way := [...]string{"routed", "broadcast", "link"}[r.Way]
	return fmt.Sprintf("%s yiaddr=%s boot=%s %s %s", r.Packet.MessageType(), r.Packet.YourIPAddr, d.Boot, way, r.To)
}

func TestAnswerInTheNameOfAnotherController(t *testing.T) {
	for name, c := range map[string]struct {
		changes      []change
		taken, named string
	}{
		"our offer":               {[]change{ip(54, "10.1.0.1"), ip(50, "10.1.0.11")}, "10.1.0.1", "10.1.0.1"},
		"another's offer":         {[]change{ip(54, "10.1.0.5"), ip(50, "10.1.0.11")}, "10.1.0.5", "10.1.0.5"},
		"another's wrong address": {[]change{ip(54, "10.1.0.5"), ip(50, "10.1.0.12")}, "10.1.0.5", "10.1.0.5"},
		"nobody's offer":          {[]change{ip(50, "10.1.0.11")}, "invalid IP", "10.1.0.1"},
		"the relay's offer":       {[]change{giaddr("10.1.3.254"), option(82, 11, 4, 10, 1, 3, 254), ip(54, "10.1.3.254"), ip(50, "10.1.0.11")}, "invalid IP", "10.1.3.254"},
	} {
		t.Run(name, func(t *testing.T) {
			r, d := Answer(request(dhcpv4.MessageTypeRequest, knownMAC, append(c.changes, pxe(0))...), testContext(t))
			if d.Taken.String() != c.taken || r.Packet.ServerIdentifier().String() != c.named {
				t.Errorf("takes %s, answered by %s; want %s and %s", d.Taken, r.Packet.ServerIdentifier(), c.taken, c.named)
			}
			if r.Packet.MessageType() == dhcpv4.MessageTypeAck && r.Packet.ServerIPAddr.String() != "10.1.0.1" {
				t.Errorf("boots from %s, want the controller that answers", r.Packet.ServerIPAddr)
			}
		})
	}
}

func TestUnknownMachineMayBeOn(t *testing.T) {
	for name, c := range map[string]struct {
		changes []change
		want    string
	}{
		"the link's network":      {[]change{pxe(0)}, "[boot]"},
		"the relay's network":     {[]change{pxe(0), giaddr("10.2.0.254")}, "[lab]"},
		"nobody's network":        {[]change{pxe(0), giaddr("172.16.0.1")}, "[]"},
		"a network with DHCP off": {[]change{pxe(0), giaddr("10.3.0.254")}, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, d := Answer(request(dhcpv4.MessageTypeDiscover, alienMAC, c.changes...), testContext(t))
			if got := fmt.Sprint(d.Networks); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestAnswerByClient(t *testing.T) {
	const (
		discover = dhcpv4.MessageTypeDiscover
		ask      = dhcpv4.MessageTypeRequest
		inform   = dhcpv4.MessageTypeInform
		script   = "http://10.1.0.1:7601/boot/52:54:00:00:00:01"
		toN1     = " link 10.1.0.11:68"
		toAll    = " broadcast 255.255.255.255:68"
	)
	http := []byte{0x10, 1, 2, 0x13, 1, 1, 0x15, 1, 1}
	noHTTP := []byte{0x10, 1, 2, 0x15, 1, 1}
	cases := map[string]struct {
		kind    dhcpv4.MessageType
		mac     fleet.MAC
		changes []change
		want    string
	}{
		"BIOS":                                {discover, knownMAC, []change{pxe(0)}, "OFFER yiaddr=10.1.0.11 boot=undionly.kpxe" + toN1},
		"BIOS, broadcast flag":                {discover, knownMAC, []change{pxe(0), broadcast}, "OFFER yiaddr=10.1.0.11 boot=undionly.kpxe" + toAll},
		"UEFI x86-64, type 7":                 {discover, knownMAC, []change{pxe(7)}, "OFFER yiaddr=10.1.0.11 boot=snponly.efi" + toN1},
		"UEFI x86-64, type 9":                 {discover, knownMAC, []change{pxe(9)}, "OFFER yiaddr=10.1.0.11 boot=snponly.efi" + toN1},
		"UEFI arm64":                          {discover, knownMAC, []change{pxe(11)}, "OFFER yiaddr=10.1.0.11 boot=snponly-arm64.efi" + toN1},
		"UEFI IA32":                           {discover, knownMAC, []change{pxe(6)}, "decline"},
		"UEFI IA32 with iPXE":                 {discover, knownMAC, []change{ipxe(6, http...)}, "decline"},
		"PowerPC":                             {discover, knownMAC, []change{pxe(14)}, "decline"},
		"UEFI HTTP x86-64":                    {discover, knownMAC, []change{httpBoot(16)}, "OFFER yiaddr=10.1.0.11 boot=http://10.1.0.1:7601/loader/snponly.efi" + toN1},
		"UEFI HTTP IA32":                      {discover, knownMAC, []change{httpBoot(15)}, "decline"},
		"UEFI HTTP arm64":                     {discover, knownMAC, []change{httpBoot(19)}, "OFFER yiaddr=10.1.0.11 boot=http://10.1.0.1:7601/loader/snponly-arm64.efi" + toN1},
		"UEFI HTTP arm32":                     {discover, knownMAC, []change{httpBoot(18)}, "decline"},
		"iPXE in a BIOS":                      {discover, knownMAC, []change{ipxe(0, http...)}, "OFFER yiaddr=10.1.0.11 boot=" + script + toN1},
		"iPXE without a feature list":         {discover, knownMAC, []change{ipxe(7)}, "OFFER yiaddr=10.1.0.11 boot=" + script + toN1},
		"iPXE without HTTP in a BIOS":         {discover, knownMAC, []change{ipxe(0, noHTTP...)}, "OFFER yiaddr=10.1.0.11 boot=undionly.kpxe" + toN1},
		"iPXE without HTTP in UEFI":           {discover, knownMAC, []change{ipxe(7, noHTTP...)}, "OFFER yiaddr=10.1.0.11 boot=snponly.efi" + toN1},
		"iPXE, RFC 3004 user class":           {discover, knownMAC, []change{ipxe(7), text(77, "\x03foo\x04iPXE")}, "OFFER yiaddr=10.1.0.11 boot=" + script + toN1},
		"another user class":                  {discover, knownMAC, []change{pxe(7), text(77, "\x03foo")}, "OFFER yiaddr=10.1.0.11 boot=snponly.efi" + toN1},
		"list of types, ours last":            {discover, knownMAC, []change{pxe(6), option(93, 0, 6, 0, 7)}, "OFFER yiaddr=10.1.0.11 boot=snponly.efi" + toN1},
		"type of no bytes":                    {discover, knownMAC, []change{pxe(0), option(93)}, "OFFER yiaddr=10.1.0.11 boot=undionly.kpxe" + toN1},
		"type of 1 byte, vendor class":        {discover, knownMAC, []change{pxe(7), option(93, 7)}, "OFFER yiaddr=10.1.0.11 boot=snponly.efi" + toN1},
		"type of 1 byte, bare class":          {discover, knownMAC, []change{option(93, 7), text(60, "PXEClient")}, "OFFER yiaddr=10.1.0.11 boot=undionly.kpxe" + toN1},
		"operating system":                    {discover, knownMAC, []change{text(60, "udhcp 1.35")}, "OFFER yiaddr=10.1.0.11 boot=" + toN1},
		"operating system with a type":        {discover, knownMAC, []change{arch(7)}, "OFFER yiaddr=10.1.0.11 boot=" + toN1},
		"request, selecting us":               {ask, knownMAC, []change{pxe(0), ip(54, "10.1.0.1"), ip(50, "10.1.0.11")}, "ACK yiaddr=10.1.0.11 boot=undionly.kpxe" + toN1},
		"request, selecting another":          {ask, knownMAC, []change{pxe(0), ip(54, "10.1.0.9"), ip(50, "10.1.0.11")}, "ignore"},
		"request, selecting another's":        {ask, knownMAC, []change{pxe(0), ip(54, "10.1.0.9"), ip(50, "10.1.3.3")}, "ignore"},
		"request, selecting a controller":     {ask, knownMAC, []change{pxe(0), ip(54, "10.1.0.5"), ip(50, "10.1.0.11")}, "ACK yiaddr=10.1.0.11 boot=undionly.kpxe" + toN1},
		"request, wrong address from us":      {ask, knownMAC, []change{ip(54, "10.1.0.1"), ip(50, "10.1.0.12")}, "NAK yiaddr=0.0.0.0 boot=" + toAll},
		"request, init-reboot":                {ask, knownMAC, []change{ip(50, "10.1.0.11")}, "ACK yiaddr=10.1.0.11 boot=" + toN1},
		"request, init-reboot, wrong":         {ask, knownMAC, []change{ip(50, "192.168.1.5")}, "NAK yiaddr=0.0.0.0 boot=" + toAll},
		"request, renewing":                   {ask, knownMAC, []change{ciaddr("10.1.0.11")}, "ACK yiaddr=10.1.0.11 boot= routed 10.1.0.11:68"},
		"request, renewing, wrong":            {ask, knownMAC, []change{ciaddr("10.1.0.12")}, "NAK yiaddr=0.0.0.0 boot=" + toAll},
		"request for nothing":                 {ask, knownMAC, nil, "ignore"},
		"inform":                              {inform, knownMAC, []change{ciaddr("10.1.0.11")}, "ACK yiaddr=0.0.0.0 boot= routed 10.1.0.11:68"},
		"inform about another":                {inform, knownMAC, []change{ciaddr("10.1.0.12")}, "ignore"},
		"release":                             {dhcpv4.MessageTypeRelease, knownMAC, []change{ciaddr("10.1.0.11")}, "ignore"},
		"decline":                             {dhcpv4.MessageTypeDecline, knownMAC, []change{ip(50, "10.1.0.11")}, "decline"},
		"a server's message":                  {dhcpv4.MessageTypeOffer, knownMAC, nil, "ignore"},
		"BOOTP":                               {discover, knownMAC, []change{func(p *dhcpv4.DHCPv4) { p.DeleteOption(dhcpv4.OptionDHCPMessageType) }}, "malformed"},
		"a reply":                             {discover, knownMAC, []change{func(p *dhcpv4.DHCPv4) { p.OpCode = dhcpv4.OpcodeBootReply }}, "malformed"},
		"InfiniBand":                          {discover, knownMAC, []change{func(p *dhcpv4.DHCPv4) { p.HWType = 32 }}, "malformed"},
		"short hardware address":              {discover, knownMAC, []change{func(p *dhcpv4.DHCPv4) { p.ClientHWAddr = p.ClientHWAddr[:5] }}, "malformed"},
		"group hardware address":              {discover, fleet.MAC{1, 0, 0x5e, 0, 0, 1}, nil, "malformed"},
		"discover with an address":            {discover, knownMAC, []change{ciaddr("10.9.9.9")}, "OFFER yiaddr=10.1.0.11 boot=" + toN1},
		"relay":                               {discover, knownMAC, []change{pxe(0), giaddr("10.1.3.254")}, "OFFER yiaddr=10.1.0.11 boot=undionly.kpxe routed 10.1.3.254:67"},
		"relay of a network we do not know":   {discover, knownMAC, []change{pxe(0), giaddr("172.16.0.1")}, "OFFER yiaddr=10.1.0.11 boot=undionly.kpxe routed 172.16.0.1:67"},
		"relay of another network":            {discover, knownMAC, []change{pxe(0), giaddr("10.2.0.254")}, "decline"},
		"relay with link selection":           {discover, knownMAC, []change{pxe(0), giaddr("10.2.0.254"), option(82, 5, 4, 10, 1, 0, 0)}, "OFFER yiaddr=10.1.0.11 boot=undionly.kpxe routed 10.2.0.254:67"},
		"relay with a port":                   {discover, knownMAC, []change{pxe(0), giaddr("10.1.3.254"), option(82, 19, 0)}, "OFFER yiaddr=10.1.0.11 boot=undionly.kpxe routed 10.1.3.254:68"},
		"relay as server, request":            {ask, knownMAC, []change{giaddr("10.1.3.254"), option(82, 11, 4, 10, 1, 3, 254), ip(54, "10.1.3.254"), ip(50, "10.1.0.11")}, "ACK yiaddr=10.1.0.11 boot= routed 10.1.3.254:67"},
		"relay, wrong address":                {ask, knownMAC, []change{giaddr("10.1.3.254"), ip(50, "10.1.0.12")}, "NAK yiaddr=0.0.0.0 boot= routed 10.1.3.254:67"},
		"node without an address":             {discover, bareMAC, []change{pxe(0)}, "decline"},
		"unknown, PXE":                        {discover, alienMAC, []change{pxe(0)}, "unknown"},
		"unknown, operating system":           {discover, alienMAC, nil, "unknown"},
		"unknown, request":                    {ask, alienMAC, []change{ip(50, "10.1.0.50")}, "unknown"},
		"unknown, PXE, from a proxy network":  {discover, alienMAC, []change{pxe(0), giaddr("10.2.0.254")}, "unknown"},
		"unknown, system, from proxy network": {discover, alienMAC, []change{giaddr("10.2.0.254")}, "ignore"},
		"unknown, PXE, where DHCP is off":     {discover, alienMAC, []change{pxe(0), giaddr("10.3.0.254")}, "ignore"},
		"unknown, PXE, from nowhere":          {discover, alienMAC, []change{pxe(0), giaddr("172.16.0.1")}, "unknown"},
		"network with DHCP off":               {discover, quietMAC, []change{pxe(0)}, "ignore"},
		"proxy, BIOS":                         {discover, proxyMAC, []change{pxe(0)}, "OFFER yiaddr=0.0.0.0 boot=undionly.kpxe" + toAll},
		"proxy, UEFI":                         {discover, proxyMAC, []change{pxe(7)}, "OFFER yiaddr=0.0.0.0 boot=snponly.efi" + toAll},
		"proxy, UEFI HTTP":                    {discover, proxyMAC, []change{httpBoot(16)}, "OFFER yiaddr=0.0.0.0 boot=http://10.1.0.1:7601/loader/snponly.efi" + toAll},
		"proxy, iPXE":                         {discover, proxyMAC, []change{ipxe(7)}, "OFFER yiaddr=0.0.0.0 boot=http://10.1.0.1:7601/boot/52:54:00:00:00:02" + toAll},
		"proxy, operating system":             {discover, proxyMAC, nil, "ignore"},
		"proxy, request to another":           {ask, proxyMAC, []change{pxe(0), ip(54, "10.2.0.1"), ip(50, "10.2.0.12")}, "ignore"},
		"proxy, request to nobody":            {ask, proxyMAC, []change{pxe(0), ip(50, "10.2.0.12")}, "ignore"},
		"proxy, request to us":                {ask, proxyMAC, []change{pxe(0), ip(54, "10.1.0.1")}, "ACK yiaddr=0.0.0.0 boot=undionly.kpxe" + toAll},
		"proxy, relay":                        {discover, proxyMAC, []change{pxe(7), giaddr("10.2.0.254")}, "OFFER yiaddr=0.0.0.0 boot=snponly.efi routed 10.2.0.254:67"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			req := request(c.kind, c.mac, c.changes...)
			parsed, err := Parse(req.ToBytes())
			if err != nil {
				t.Fatal(err)
			}
			r, d := Answer(parsed, testContext(t))
			if got := describe(r, d); got != c.want {
				t.Errorf("got  %s\nwant %s\nreason: %s", got, c.want, d.Reason)
			}
		})
	}
}

func TestAnswerOnProxyPort(t *testing.T) {
	const ask = dhcpv4.MessageTypeRequest
	cases := map[string]struct {
		kind    dhcpv4.MessageType
		mac     fleet.MAC
		changes []change
		want    string
	}{
		"UEFI":                   {ask, proxyMAC, []change{pxe(7), ciaddr("10.2.0.12")}, "ACK yiaddr=0.0.0.0 boot=snponly.efi routed 10.2.0.12:4011"},
		"BIOS without ciaddr":    {ask, proxyMAC, []change{pxe(0)}, "ACK yiaddr=0.0.0.0 boot=undionly.kpxe routed 10.2.0.50:4011"},
		"node of a full network": {ask, knownMAC, []change{pxe(7), ciaddr("10.1.0.11")}, "ACK yiaddr=0.0.0.0 boot=snponly.efi routed 10.1.0.11:4011"},
		"operating system":       {ask, proxyMAC, nil, "ignore"},
		"discover":               {dhcpv4.MessageTypeDiscover, proxyMAC, []change{pxe(7)}, "ignore"},
		"unknown machine":        {ask, alienMAC, []change{pxe(7)}, "unknown"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ctx := testContext(t)
			ctx.Proxy, ctx.Source = true, netip.MustParseAddrPort("10.2.0.50:4011")
			r, d := Answer(request(c.kind, c.mac, c.changes...), ctx)
			if got := describe(r, d); got != c.want {
				t.Errorf("got  %s\nwant %s\nreason: %s", got, c.want, d.Reason)
			}
		})
	}
}

func TestLeaseCarriesTheNetworksConfiguration(t *testing.T) {
	r, _ := Answer(request(dhcpv4.MessageTypeDiscover, knownMAC, pxe(7), text(61, "\x01id"), text(82, "\x01\x02xy"), giaddr("10.1.3.254")), testContext(t))
	want := map[uint8]string{
		1: "\xff\xff\xfc\x00", 3: "\x0a\x01\x00\xfe", 6: "\x0a\x01\x00\x02\x0a\x01\x00\x03", 12: "n1", 15: "cluster.example",
		28: "\x0a\x01\x03\xff", 51: "\x00\x01\x51\x80", 53: "\x02", 54: "\x0a\x01\x00\x01", 61: "\x01id", 66: "10.1.0.1",
		67: "snponly.efi", 82: "\x01\x02xy", 97: "\x00" + strings.Repeat("\xab", 16),
	}
	for code, v := range want {
		if got := string(r.Packet.Options[code]); got != v {
			t.Errorf("option %d: got %q, want %q", code, got, v)
		}
	}
	if len(r.Packet.Options) != len(want) {
		t.Errorf("got options %v, want %d of them", r.Packet.Options, len(want))
	}
	p := r.Packet
	if p.BootFileName != "snponly.efi" || p.ServerHostName != "10.1.0.1" || p.ServerIPAddr.String() != "10.1.0.1" || p.GatewayIPAddr.String() != "10.1.3.254" {
		t.Errorf("got file %q, sname %q, siaddr %s, giaddr %s", p.BootFileName, p.ServerHostName, p.ServerIPAddr, p.GatewayIPAddr)
	}
}

func TestVendorOptionsByClient(t *testing.T) {
	cases := map[string]struct {
		mac     fleet.MAC
		changes []change
		want    map[uint8]string
	}{
		"full, BIOS":           {knownMAC, []change{pxe(0)}, map[uint8]string{43: "", 60: "", 175: ""}},
		"full, UEFI HTTP":      {knownMAC, []change{httpBoot(16)}, map[uint8]string{43: "", 60: "HTTPClient", 175: ""}},
		"full, iPXE":           {knownMAC, []change{ipxe(0)}, map[uint8]string{43: "", 60: "", 175: "\xb0\x01\x01"}},
		"proxy, BIOS":          {proxyMAC, []change{pxe(0)}, map[uint8]string{43: "\x06\x01\x08\xff", 60: "PXEClient", 175: ""}},
		"proxy, BIOS, an item": {proxyMAC, []change{pxe(0), option(43, 0, 71, 4, 0, 1, 0, 2, 255)}, map[uint8]string{43: "\x06\x01\x08\x47\x04\x00\x01\x00\x02\xff", 60: "PXEClient"}},
		"proxy, UEFI":          {proxyMAC, []change{pxe(7)}, map[uint8]string{43: "", 60: "PXEClient", 51: "", 1: "", 12: ""}},
		"proxy, UEFI HTTP":     {proxyMAC, []change{httpBoot(16)}, map[uint8]string{43: "", 60: "HTTPClient"}},
		"proxy, iPXE":          {proxyMAC, []change{ipxe(7)}, map[uint8]string{43: "", 60: "PXEClient", 175: ""}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, d := Answer(request(dhcpv4.MessageTypeDiscover, c.mac, c.changes...), testContext(t))
			if r.Packet == nil {
				t.Fatalf("no reply: %s", d.Reason)
			}
			for code, v := range c.want {
				if got := string(r.Packet.Options[code]); got != v {
					t.Errorf("option %d: got %q, want %q", code, got, v)
				}
			}
		})
	}
}

func TestRepliesFitTheClient(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 250)
	for name, c := range map[string]struct {
		changes []change
		limit   int
	}{
		"smallest client": {[]change{pxe(7), giaddr("10.1.3.254"), option(82, append([]byte{1, 170}, long[:170]...)...), option(61, long[:60]...)}, 548},
		"roomier client":  {[]change{pxe(7), giaddr("10.1.3.254"), option(82, append([]byte{1, 170}, long[:170]...)...), option(61, long[:120]...), option(57, 2, 188)}, 672},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := Answer(request(dhcpv4.MessageTypeDiscover, knownMAC, c.changes...), testContext(t))
			if got := len(r.Packet.ToBytes()); got > c.limit {
				t.Errorf("%d bytes, want at most %d", got, c.limit)
			}
		})
	}
}

func TestServerIdentifierOverrideIsEchoed(t *testing.T) {
	r, _ := Answer(request(dhcpv4.MessageTypeDiscover, knownMAC, giaddr("10.1.3.254"), option(82, 11, 4, 10, 1, 3, 254)), testContext(t))
	if got := r.Packet.ServerIdentifier().String(); got != "10.1.3.254" {
		t.Errorf("got server identifier %s, want the relay agent's", got)
	}
}

func TestUnknownMachineIsDescribed(t *testing.T) {
	_, d := Answer(request(dhcpv4.MessageTypeDiscover, alienMAC, pxe(7), text(60, "PXEClient\x1b[2J"), giaddr("10.1.3.254")), testContext(t))
	got := d.Unknown("eth0", d.Unknown("", fleet.UnknownMachine{}.First).First)
	want := fleet.UnknownMachine{
		MAC: alienMAC, Requests: 1, From: "eth0", Relay: netip.MustParseAddr("10.1.3.254"), VendorClass: "PXEClient?[2J",
		Firmware: "UEFI x86-64", UUID: "abababab-abab-abab-abab-abababababab",
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestMissingLoaderIsDeclined(t *testing.T) {
	ctx := testContext(t)
	ctx.Loaders.ARM64 = ""
	r, d := Answer(request(dhcpv4.MessageTypeDiscover, knownMAC, pxe(11)), ctx)
	if r.Packet != nil || d.Verdict != Decline || !strings.Contains(d.Reason, "UEFI arm64") {
		t.Errorf("got %s: %s; want it declined for want of a loader", describe(r, d), d.Reason)
	}
}

func TestParseForgivesAMissingEnd(t *testing.T) {
	b := request(dhcpv4.MessageTypeDiscover, knownMAC, pxe(0)).ToBytes()
	b = b[:bytes.LastIndexByte(b, 255)]
	if _, err := Parse(b); err != nil {
		t.Error(err)
	}
	if _, err := Parse(b[:len(b)-1]); err == nil {
		t.Error("a torn option was accepted")
	}
}
