package netboot

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	wire "github.com/pin/tftp/v3"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/netboot/dhcp"
)

// run runs a server until the test ends.
func run(t *testing.T, c Config) *Server {
	t.Helper()
	s := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

func portOf(l *listener) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), l.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
}

// A client asks from loopback, as a relay agent with its own port (RFC 8357) or as firmware asks port 4011.
type client struct {
	t    *testing.T
	conn *net.UDPConn
}

func newClient(t *testing.T, to netip.AddrPort) client {
	t.Helper()
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return client{t, conn}
}

func (c client) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c client) receive() *dhcpv4.DHCPv4 {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 2048)
	n, err := c.conn.Read(b)
	if err != nil {
		c.t.Fatal(err)
	}
	p, err := dhcpv4.FromBytes(b[:n])
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

func request(kind dhcpv4.MessageType, mac fleet.MAC, secs uint16) *dhcpv4.DHCPv4 {
	p, _ := dhcpv4.New(dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(mac[:]))
	p.NumSeconds = secs
	p.Options[dhcpv4.OptionClassIdentifier.Code()] = []byte("PXEClient:Arch:00007:UNDI:003016")
	p.Options[dhcpv4.OptionClientSystemArchitectureType.Code()] = []byte{0, 7}
	return p
}

func relayed(kind dhcpv4.MessageType, mac fleet.MAC, secs uint16) *dhcpv4.DHCPv4 {
	p := request(kind, mac, secs)
	p.GatewayIPAddr = net.IPv4(127, 0, 0, 1)
	p.Options[dhcpv4.OptionRelayAgentInformation.Code()] = []byte{dhcpv4.RelaySourcePortSubOption.Code(), 0}
	return p
}

func TestServerAnswersOnEveryPort(t *testing.T) {
	w := newWitness()
	s := run(t, testConfig(t, w))

	c := newClient(t, portOf(s.dhcp))
	c.send(relayed(dhcpv4.MessageTypeDiscover, nodeMAC, 0).ToBytes())
	if got := c.receive(); got.MessageType() != dhcpv4.MessageTypeOffer || got.YourIPAddr.String() != "10.1.0.11" || got.BootFileName != "snponly.efi" {
		t.Errorf("DHCP: got %s", got.Summary())
	}
	p := newClient(t, portOf(s.proxy))
	p.send(request(dhcpv4.MessageTypeRequest, labMAC, 0).ToBytes())
	if got := p.receive(); got.MessageType() != dhcpv4.MessageTypeAck || got.BootFileName != "snponly.efi" || got.ClassIdentifier() != "PXEClient" {
		t.Errorf("ProxyDHCP: got %s", got.Summary())
	}
	tc, err := wire.NewClient(s.tftpConn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"snponly.efi", "autoexec.ipxe"} {
		r, err := tc.Receive(name, "octet")
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := r.WriteTo(&got); err != nil || got.Len() == 0 {
			t.Errorf("TFTP %s: got %d bytes, %v", name, got.Len(), err)
		}
	}
	if resp, body, err := do(t, "GET", "http://"+s.web.Addr().String()+"/loader/snponly.efi"); err != nil || resp.StatusCode != 200 || len(body) == 0 {
		t.Errorf("HTTP: got %v, %v", resp, err)
	}
	w.await(t, "52:54:00:00:00:01 \"\" dhcp UEFI x86-64\n52:54:00:00:00:03 \"\" dhcp UEFI x86-64")
}

func TestServerSurvivesRubbish(t *testing.T) {
	s := open(t, testConfig(t, newWitness()))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	c := newClient(t, portOf(s.dhcp))
	whole := relayed(dhcpv4.MessageTypeDiscover, nodeMAC, 0).ToBytes()
	for n := range whole {
		if n < 236+4 { // shorter ones are malformed; longer ones may be whole requests
			c.send(whole[:n])
		}
	}
	c.send(whole)
	if got := c.receive(); got.MessageType() != dhcpv4.MessageTypeOffer {
		t.Errorf("got %s", got.Summary())
	}
	cancel()
	if err := <-ended; err != nil { // by now every request was looked at
		t.Error(err)
	}
	if got := s.Counters(); got.Malformed != 240 || got.Requests != 241 || got.Answers != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestBrokenHandlerDoesNotStopTheServer(t *testing.T) {
	c := testConfig(t, newWitness())
	s := open(t, c)
	deliver := s.deliver
	s.deliver = func(d arrival, r dhcp.Reply) error {
		if r.MAC == bareMAC {
			panic("as if by a bug")
		}
		return deliver(d, r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	cl := newClient(t, portOf(s.dhcp))
	for i := range uint16(2 * dhcpWorkers) {
		cl.send(relayed(dhcpv4.MessageTypeDiscover, bareMAC, i).ToBytes())
	}
	cl.send(relayed(dhcpv4.MessageTypeDiscover, nodeMAC, 0).ToBytes())
	if got := cl.receive(); got.MessageType() != dhcpv4.MessageTypeOffer {
		t.Errorf("got %s", got.Summary())
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := s.Counters().Malformed; got != 2*dhcpWorkers {
		t.Errorf("%d requests counted as broken, want %d", got, 2*dhcpWorkers)
	}
}

func TestUnknownMachineIsReportedAndGetsNothing(t *testing.T) {
	w := newWitness()
	s := run(t, testConfig(t, w))
	c := newClient(t, portOf(s.dhcp))
	c.send(relayed(dhcpv4.MessageTypeDiscover, alienMAC, 0).ToBytes())
	w.await(t, "unknown 52:54:00:00:00:63 from relay 127.0.0.1")
	if got := s.Counters(); got.Answers != 0 || got.Unknown != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestOnlyTheChosenInterfacesAreHeeded(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig(t, newWitness())
	c.Interfaces = []string{"lo"}
	s := open(t, c)
	s.deliver = func(arrival, dhcp.Reply) error { return nil }
	for i, link := range []int{lo.Index, lo.Index + 1<<20} {
		d := &datagram{arrival: arrival{listener: s.dhcp, from: netip.MustParseAddrPort("127.0.0.1:68"), link: link}}
		d.n = copy(d.bytes[:], relayed(dhcpv4.MessageTypeDiscover, nodeMAC, uint16(i)).ToBytes())
		s.handle(d)
	}
	if got := s.Counters().Answers; got != 1 {
		t.Errorf("%d answers, want that by lo alone", got)
	}
}

func TestPortInUseNamesThePortAndTheCure(t *testing.T) {
	first := open(t, testConfig(t, newWitness()))
	for name, c := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"DHCP":      {func(c *Config) { c.Ports.DHCP = portOf(first.dhcp).Port() }, []string{"DHCP: UDP port ", "ss -ulpn"}},
		"ProxyDHCP": {func(c *Config) { c.Ports.ProxyDHCP = portOf(first.proxy).Port() }, []string{"ProxyDHCP: UDP port ", "ss -ulpn"}},
		"TFTP":      {func(c *Config) { c.Ports.TFTP = first.tftpConn.LocalAddr().(*net.UDPAddr).AddrPort().Port() }, []string{"TFTP: UDP port ", "ss -ulpn"}},
		"HTTP":      {func(c *Config) { c.Self.Ports.Boot = first.cfg.Self.Ports.Boot }, []string{"boot HTTP: TCP port ", "ss -tlpn"}},
		"address":   {func(c *Config) { c.Self.Address = netip.MustParseAddr("192.0.2.1") }, []string{"192.0.2.1 is not an address of this machine", "ip -4 address"}},
		"interface": {func(c *Config) { c.Interfaces = []string{"nosuch0"} }, []string{`"nosuch0"`, "ip link"}},
		"loaders":   {func(c *Config) { c.LoaderDir = t.TempDir() }, []string{"undionly.kpxe", "apt-get install ipxe"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := testConfig(t, newWitness())
			c.change(&config)
			s, err := Open(config)
			if err == nil {
				s.Close()
				t.Fatal("it opened")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %q, want one line with %q", err, want)
				}
			}
		})
	}
}

func TestNoPermissionNamesTheCure(t *testing.T) {
	err := bindError("UDP", netip.MustParseAddrPort("0.0.0.0:67"), &net.OpError{Op: "listen", Err: syscall.EACCES})
	if !strings.Contains(err.Error(), "UDP port 67: no permission; run as root") {
		t.Errorf("got %q", err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		l := newLimited(inner, 3, 2)
		accepted := make(chan net.Conn, 10)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					close(accepted)
					return
				}
				accepted <- c
			}
		}()
		dial := func(from string) { inner.conns <- addressed{from: from} }
		dial("10.1.0.1:1")
		dial("10.1.0.1:2")
		dial("10.1.0.1:3") // one too many of this client
		dial("10.1.0.2:1")
		synctest.Wait()
		if got := len(accepted); got != 3 {
			t.Errorf("%d connections, want 3", got)
		}
		_ = (<-accepted).Close() // makes room for one
		dial("10.1.0.3:1")
		synctest.Wait()
		if got := len(accepted); got != 3 {
			t.Errorf("%d connections after one left, want 3", got)
		}
		_ = l.Close()
		for c := range accepted {
			_ = c.Close()
		}
		if len(l.clients) != 0 || len(l.places) != 0 {
			t.Errorf("%d clients hold %d places after all left", len(l.clients), len(l.places))
		}
	})
}

// A pipeListener accepts what is put into conns.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return nil }

// An addressed connection has a remote address and nothing else.
type addressed struct {
	net.Conn
	from string
}

func (a addressed) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a.from))
}
func (a addressed) Close() error { return nil }

// TestSlowDownloadsAreLetEnd reads a blob for longer than a request may take to arrive.
func TestSlowDownloadsAreLetEnd(t *testing.T) {
	for name, memory := range map[string]int64{"from memory": 1 << 40, "from the store": 0} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t, newWitness())
			data := bytes.Repeat([]byte("slow"), 4<<20)
			c.Blob = func(fleet.Digest) (Blob, error) { return &memoryBlob{Reader: bytes.NewReader(data)}, nil }
			file := blobOf(9, data)
			state := stateWith(t, file)
			c.State = func() fleet.State { return state }
			s := open(t, c)
			bound, outside := s.web, s.shelf
			defer func() { s.web, s.shelf = bound, outside }()
			synctest.Test(t, func(t *testing.T) {
				s.shelf = newShelf(c.Blob)
				s.shelf.available = func() int64 { return memory }
				defer s.shelf.close()
				readSlowly(t, s, file)
			})
		})
	}
}

// readSlowly runs s in the bubble of t, and takes eight minutes to read a file of 16 MiB.
func readSlowly(t *testing.T, s *Server, file fleet.Blob) {
	near, away := net.Pipe()
	inner := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	s.web = newLimited(inner, 1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.runHTTP(ctx) }()
	inner.conns <- remote{away}
	if _, err := io.WriteString(near, "GET /blob/"+file.Digest.String()+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(near), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, part := int64(0), make([]byte, 1<<20)
	for got < file.Size {
		n, err := io.ReadFull(resp.Body, part)
		if err != nil {
			t.Fatalf("after %d bytes: %v", got+int64(n), err)
		}
		got += int64(n)
		time.Sleep(writeTimeout / 2)
	}
	_ = near.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A remote connection claims to come from a node.
type remote struct{ net.Conn }

func (remote) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.1.0.11:1"))
}

// FuzzHandle holds for any datagram on either port: the server goes on, and only nodes are answered.
func FuzzHandle(f *testing.F) {
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform} {
		for _, mac := range []fleet.MAC{nodeMAC, labMAC, alienMAC} {
			f.Add(request(kind, mac, 0).ToBytes(), false)
			f.Add(relayed(kind, mac, 0).ToBytes(), true)
		}
	}
	f.Add([]byte{}, false)
	s := open(f, testConfig(f, newWitness()))
	state := s.cfg.State()
	var replies int
	s.deliver = func(_ arrival, r dhcp.Reply) error {
		replies++
		if _, known := state.NodeByMAC(r.MAC); !known {
			f.Errorf("%s was answered", r.MAC)
		}
		return nil
	}
	f.Fuzz(func(t *testing.T, b []byte, proxy bool) {
		d := &datagram{arrival: arrival{listener: s.dhcp, from: netip.MustParseAddrPort("10.1.0.50:68"), link: 1}}
		if proxy {
			d.listener = s.proxy
		}
		d.n = copy(d.bytes[:], b)
		before, answers := replies, s.Counters().Answers
		s.handle(d)
		if got := s.Counters().Answers - answers; int(got) != replies-before {
			t.Errorf("%d answers counted, %d sent", got, replies-before)
		}
	})
}
