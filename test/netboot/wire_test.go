package netboot_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

const loaderDir = "/usr/lib/ipxe/"

// wants checks that each of lines is a line of text.
func wants(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains("\n"+text, "\n"+l+"\n") {
			t.Errorf("want the line %q in:\n%s", l, text)
		}
	}
}

func TestDhclientGetsItsLease(t *testing.T) {
	need(t, "dhclient", "isc-dhcp-client")
	b := newBench(t)
	h := b.plug(diskless)
	script := h.recorder("env")
	dhclient := func() string {
		_ = os.Remove(h.path("env"))
		return h.until("bound to ", "dhclient", "-d", "-1", "-v", "-4", "-lf", h.path("leases"), "-pf", h.path("pid"), "-sf", script, "eth0")
	}

	dhclient()
	wants(t, h.read("env"), "reason=BOUND", "new_ip_address=10.77.0.11", "new_subnet_mask=255.255.255.0", "new_routers=10.77.0.254",
		"new_domain_name_servers=10.77.0.53", "new_domain_name=cluster.example", "new_host_name=n1", "new_broadcast_address=10.77.0.255",
		"new_dhcp_lease_time=86400", "new_dhcp_server_identifier=10.77.0.1")

	dhclient() // with a lease in hand: INIT-REBOOT
	wants(t, h.read("env"), "reason=REBOOT", "new_ip_address=10.77.0.11")

	moved := strings.ReplaceAll(h.read("leases"), "10.77.0.11", "10.77.0.99")
	if err := os.WriteFile(h.path("leases"), []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := dhclient(); !strings.Contains(out, "DHCPNAK") {
		t.Errorf("want a refusal of the address that it had:\n%s", out)
	}
	wants(t, h.read("env"), "reason=BOUND", "new_ip_address=10.77.0.11")
}

func TestUdhcpcGetsItsLease(t *testing.T) {
	need(t, "busybox", "busybox-static")
	b := newBench(t)
	h := b.plug(blank)
	h.run("busybox", "udhcpc", "-f", "-q", "-n", "-i", "eth0", "-t", "5", "-T", "2", "-O", "hostname", "-s", h.recorder("env"))
	wants(t, h.read("env"), "event=bound", "ip=10.77.0.12", "mask=24", "router=10.77.0.254", "dns=10.77.0.53", "hostname=n2", "lease=86400", "serverid=10.77.0.1")
	if strings.Contains(h.read("env"), "boot_file=") {
		t.Error("an operating system was given a boot file")
	}
}

// TestBootByHand is a BIOS machine's whole way to its initramfs, each step by a client that is not ours.
func TestBootByHand(t *testing.T) {
	need(t, "busybox", "busybox-static")
	need(t, "tftp", "tftp-hpa")
	need(t, "curl", "curl")
	b := newBench(t)
	h := b.plug(diskless)
	h.run("busybox", "udhcpc", "-f", "-q", "-n", "-i", "eth0", "-t", "5", "-T", "2", "-O", "tftp", "-O", "bootfile", "-V", "PXEClient:Arch:00000:UNDI:002001",
		"-x", "0x5d:0000", "-s", h.recorder("env"))
	wants(t, h.read("env"), "event=bound", "ip=10.77.0.11", "siaddr=10.77.0.1", "boot_file=undionly.kpxe", "tftp=10.77.0.1", "bootfile=undionly.kpxe")
	b.ip(h.name, "address add 10.77.0.11/24 dev eth0")

	h.run("tftp", "-m", "binary", "10.77.0.1", "-c", "get", "undionly.kpxe", h.path("undionly.kpxe"))
	if want, err := os.ReadFile(loaderDir + "undionly.kpxe"); err != nil || h.read("undionly.kpxe") != string(want) {
		t.Errorf("tftp: the loader differs from the package's, %v", err)
	}

	origin := fmt.Sprintf("http://%s:%d", serverAddress, bootPort)
	script := h.run("curl", "-sSf", origin+"/boot/"+diskless.String())
	for _, want := range []string{"#!ipxe\n", "image debian:1", "samara.boot=" + serverToken, "BOOTIF=01-52-54-00-77-00-01"} {
		if !strings.Contains(script, want) {
			t.Errorf("want %q in:\n%s", want, script)
		}
	}
	for _, blob := range []struct {
		file string
		seed byte
		size int
	}{{"vmlinuz", kernelSeed, kernelSize}, {"initrd.img", initramfsSeed, initramfsSize}} {
		_, after, _ := strings.Cut(script, "--name "+blob.file+" ")
		url, _, _ := strings.Cut(after, " ")
		h.run("curl", "-sSf", "-o", h.path(blob.file), url)
		if h.read(blob.file) != string(payload(blob.seed, blob.size)) {
			t.Errorf("%s arrived otherwise than it was sent", blob.file)
		}
	}
	b.await("phase 52:54:00:77:00:01 [boot-id] initramfs")
	want := []string{
		"ready",
		"phase 52:54:00:77:00:01 [] dhcp: BIOS",
		"phase 52:54:00:77:00:01 [] loader: undionly.kpxe by TFTP",
		"phase 52:54:00:77:00:01 [boot-id] script: debian:1",
		"phase 52:54:00:77:00:01 [boot-id] kernel: blob " + blobOf(kernelSeed, 0).Digest.Short(),
		"phase 52:54:00:77:00:01 [boot-id] initramfs: blob " + blobOf(initramfsSeed, 0).Digest.Short(),
	}
	if got := b.said(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("observed:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCurlFetchesPartsAndRefusals(t *testing.T) {
	need(t, "curl", "curl")
	b := newBench(t)
	h := b.plug(diskless, "10.77.0.11/24")
	origin := fmt.Sprintf("http://%s:%d", serverAddress, bootPort)
	digest := blobOf(kernelSeed, 0).Digest.String()
	kernel := payload(kernelSeed, kernelSize)

	for name, c := range map[string]struct {
		args   []string
		status string
		body   []byte
	}{
		"range":             {[]string{"-r", "1000000-1000999", origin + "/blob/" + digest}, "206", kernel[1000000:1001000]},
		"last bytes":        {[]string{"-r", "-100", origin + "/blob/" + digest}, "206", kernel[len(kernel)-100:]},
		"has it already":    {[]string{"-H", `If-None-Match: "` + digest + `"`, origin + "/blob/" + digest}, "304", nil},
		"image root":        {[]string{origin + "/blob/" + blobOf(1, 0).Digest.String()}, "404", []byte("blob 010000000000: no image boots with it\n")},
		"path to elsewhere": {[]string{"--path-as-is", origin + "/loader/..%2f..%2f..%2fetc%2fpasswd"}, "404", nil},
		"written to":        {[]string{"-T", "/dev/null", origin + "/loader/snponly.efi"}, "405", nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := h.path("body")
			status := h.run("curl", append([]string{"-sS", "-o", file, "-w", "%{http_code}"}, c.args...)...)
			if status != c.status {
				t.Errorf("got status %s, want %s", status, c.status)
			}
			if c.body != nil && h.read("body") != string(c.body) {
				t.Errorf("got %d bytes, want %d", len(h.read("body")), len(c.body))
			}
		})
	}
	// What was cut off can be taken up again, as a client does after a controller died.
	part := h.path("part")
	h.run("curl", "-sSf", "-r", "0-999999", "-o", part, origin+"/blob/"+digest)
	h.run("curl", "-sSf", "-C", "-", "-o", part, origin+"/blob/"+digest)
	if h.read("part") != string(kernel) {
		t.Error("the two parts are not the whole")
	}
	h.run("curl", "-sSf", "-o", h.path("efi"), origin+"/loader/snponly.efi")
	if want, err := os.ReadFile(loaderDir + "snponly.efi"); err != nil || h.read("efi") != string(want) {
		t.Errorf("the loader differs from the package's, %v", err)
	}
}

func TestTFTPWithOptionsAndRefusals(t *testing.T) {
	need(t, "tftp", "tftp-hpa")
	need(t, "curl", "curl")
	b := newBench(t)
	h := b.plug(diskless, "10.77.0.11/24")
	want, err := os.ReadFile(loaderDir + "snponly.efi")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range []string{"512", "1468", "8192"} {
		h.run("curl", "-sSf", "--tftp-blksize", block, "-o", h.path("efi"), "tftp://10.77.0.1//snponly.efi")
		if h.read("efi") != string(want) {
			t.Errorf("block size %s: the loader differs from the package's", block)
		}
	}
	if out, _ := h.try("tftp", "-m", "binary", "10.77.0.1", "-c", "get", "../etc/passwd", h.path("passwd")); !strings.Contains(out, "does not exist") {
		t.Errorf("a path got %q, want that it does not exist", out)
	}
	if err := os.WriteFile(h.path("evil"), []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := h.try("tftp", "-m", "binary", "10.77.0.1", "-c", "put", h.path("evil"), "snponly.efi"); !strings.Contains(out, "does not support write") {
		t.Errorf("a write got %q, want a refusal", out)
	}
}

func TestRepliesTakeTheRightWay(t *testing.T) {
	b := newBench(t)
	n := b.plug(diskless).nic()
	for name, c := range map[string]struct {
		change func(*dhcpv4.DHCPv4)
		to     string
		dest   string
	}{
		"to the machine alone": {func(*dhcpv4.DHCPv4) {}, diskless.String(), "10.77.0.11:68"},
		"to all, as it asks":   {func(p *dhcpv4.DHCPv4) { p.SetBroadcast() }, "ff:ff:ff:ff:ff:ff", "255.255.255.255:68"},
	} {
		t.Run(name, func(t *testing.T) {
			p := request(dhcpv4.MessageTypeDiscover, diskless, firmware("PXEClient:Arch:00007:UNDI:003016", 7))
			c.change(p)
			n.broadcast(p.ToBytes())
			got := n.receive(p.TransactionID)
			if got.to.String() != c.to || got.dest.String() != c.dest || got.from.String() != "10.77.0.1:67" {
				t.Errorf("got %s from %s to %s; want to %s, %s", got.to, got.from, got.dest, c.to, c.dest)
			}
			if c.to == diskless.String() && !got.checked {
				t.Error("the datagram's checksum is wrong")
			}
			if got.BootFileName != "snponly.efi" || !bytes.Equal(got.Options[97], p.Options[97]) {
				t.Errorf("got %s", got.Summary())
			}
		})
	}
}

// TestRepliesLeaveByTheirInterface asks from a second link, where the server's own address is not.
func TestRepliesLeaveByTheirInterface(t *testing.T) {
	b := newBench(t)
	b.ip(b.name, "link add br1 type bridge stp_state 0 forward_delay 0")
	b.ip(b.name, "link set br1 up")
	elsewhere := b.plug(diskless).nic()
	h := b.plug(farMAC(7))
	b.ip(b.name, "link set port2 master br1")
	n := h.nic()
	p := request(dhcpv4.MessageTypeDiscover, farMAC(7), nil)
	p.SetBroadcast()
	n.broadcast(p.ToBytes())
	if got := n.receive(p.TransactionID); got.from.String() != "10.77.0.1:67" || got.YourIPAddr.String() != "10.78.0.8" {
		t.Errorf("broadcast: got %s from %s", got.Summary(), got.from)
	}
	if got, ok := elsewhere.receiveFor(p.TransactionID, 500*time.Millisecond); ok {
		t.Errorf("the other link saw %s", got.Summary())
	}
	p = request(dhcpv4.MessageTypeDiscover, farMAC(7), nil)
	n.broadcast(p.ToBytes())
	if got := n.receive(p.TransactionID); got.to.String() != farMAC(7).String() || !got.checked {
		t.Errorf("to the machine alone: got %s to %s", got.Summary(), got.to)
	}
}

func TestUEFIBootsByHTTP(t *testing.T) {
	b := newBench(t)
	n := b.plug(diskless).nic()
	p := request(dhcpv4.MessageTypeDiscover, diskless, firmware("HTTPClient:Arch:00016:UNDI:003001", 16))
	n.broadcast(p.ToBytes())
	got := n.receive(p.TransactionID)
	if got.ClassIdentifier() != "HTTPClient" || got.BootFileNameOption() != "http://10.77.0.1:7601/loader/snponly.efi" || got.YourIPAddr.String() != "10.77.0.11" {
		t.Errorf("got %s", got.Summary())
	}
}

func TestProxyLeavesAddressesToAnother(t *testing.T) {
	b := newBench(t)
	h := b.plug(lab)
	n := h.nic()
	for name, c := range map[string]struct {
		options map[uint8]string
		file    string
		vendor  string
	}{
		"BIOS": {firmware("PXEClient:Arch:00000:UNDI:002001", 0), "undionly.kpxe", "\x06\x01\x08\xff"},
		"UEFI": {firmware("PXEClient:Arch:00007:UNDI:003016", 7), "snponly.efi", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := request(dhcpv4.MessageTypeDiscover, lab, c.options)
			n.broadcast(p.ToBytes())
			got := n.receive(p.TransactionID)
			if got.to.String() != "ff:ff:ff:ff:ff:ff" || !got.YourIPAddr.IsUnspecified() || got.ClassIdentifier() != "PXEClient" ||
				got.BootFileName != c.file || string(got.Options[43]) != c.vendor || got.ServerIPAddr.String() != "10.77.0.1" || got.Options.Has(dhcpv4.OptionIPAddressLeaseTime) {
				t.Errorf("got %s to %s", got.Summary(), got.to)
			}
		})
	}
	// With the address of the other server, the firmware asks port 4011 of the one that offered to boot it.
	b.ip(h.name, "address add %s/24 dev eth0", labAddress)
	p := request(dhcpv4.MessageTypeRequest, lab, firmware("PXEClient:Arch:00007:UNDI:003016", 7))
	p.ClientIPAddr = net.ParseIP(labAddress)
	n.send(bridgeMAC(t, h), netip.MustParseAddrPort(labAddress+":4011"), netip.MustParseAddrPort("10.77.0.1:4011"), p.ToBytes())
	got := n.receive(p.TransactionID)
	if got.MessageType() != dhcpv4.MessageTypeAck || got.from.String() != "10.77.0.1:4011" || got.dest.String() != labAddress+":4011" || got.BootFileName != "snponly.efi" {
		t.Errorf("got %s from %s to %s", got.Summary(), got.from, got.dest)
	}
	// An operating system there gets nothing from us.
	q := request(dhcpv4.MessageTypeDiscover, lab, nil)
	n.broadcast(q.ToBytes())
	n.broadcast(request(dhcpv4.MessageTypeDiscover, lab, nil).ToBytes())
	if got, ok := n.receiveFor(q.TransactionID, time.Second); ok {
		t.Errorf("an operating system on a proxy network got %s", got.Summary())
	}
}

// bridgeMAC returns the hardware address of the server's bridge.
func bridgeMAC(t *testing.T, h *host) string {
	t.Helper()
	fields := strings.Fields(command(t, "ip", "-n", h.b.name, "-o", "link", "show", "br0"))
	for i, f := range fields {
		if f == "link/ether" {
			return fields[i+1]
		}
	}
	t.Fatalf("no hardware address in %q", fields)
	return ""
}

// relay plugs in a relay agent and returns its socket on port 67.
func (b *bench) relay() *net.UDPConn {
	b.t.Helper()
	h := b.plug([6]byte{0x52, 0x54, 0, 0x77, 0, 0xfa}, relayAddress.String()+"/24")
	b.ip(h.name, "address add %s/24 dev lo", farGateway)
	var conn *net.UDPConn
	h.inside(func() (err error) {
		conn, err = net.ListenUDP("udp4", &net.UDPAddr{Port: 67})
		return err
	})
	b.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadBuffer(4 << 20)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	return conn
}

func relayed(i int) *dhcpv4.DHCPv4 {
	p := request(dhcpv4.MessageTypeDiscover, farMAC(i), firmware("PXEClient:Arch:00007:UNDI:003016", 7))
	p.GatewayIPAddr = farGateway.AsSlice()
	p.Options[82] = []byte("\x01\x06port-7\x02\x05sw-12")
	return p
}

// TestStormThroughARelay switches on every far machine at once, some packets twice, and misses none.
func TestStormThroughARelay(t *testing.T) {
	b := newBench(t)
	conn := b.relay()
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(serverAddress, 67))
	for i := range farNodes {
		packet := relayed(i).ToBytes()
		for range 1 + i%2 {
			if _, err := conn.WriteTo(packet, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	offered := map[string]string{}
	buf := make([]byte, 2048)
	for len(offered) < farNodes {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatalf("after %d offers of %d: %v", len(offered), farNodes, err)
		}
		p, err := dhcpv4.FromBytes(buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		if from.String() != "10.77.0.1:67" || string(p.Options[82]) != "\x01\x06port-7\x02\x05sw-12" || p.GatewayIPAddr.String() != farGateway.String() {
			t.Fatalf("from %s: %s", from, p.Summary())
		}
		offered[p.ClientHWAddr.String()] = p.YourIPAddr.String()
	}
	for i := range farNodes {
		if got, want := offered[farMAC(i).String()], fmt.Sprintf("10.78.0.%d", i+1); got != want {
			t.Errorf("f%d was offered %s, want %s", i, got, want)
		}
	}
}

func TestUnknownMachineIsListedAndGetsNothing(t *testing.T) {
	need(t, "busybox", "busybox-static")
	b := newBench(t)
	h := b.plug(alien)
	if out, err := h.try("busybox", "udhcpc", "-f", "-q", "-n", "-i", "eth0", "-t", "2", "-T", "1", "-V", "PXEClient:Arch:00000", "-s", "/bin/true"); err == nil {
		t.Errorf("an unknown machine was given a lease:\n%s", out)
	}
	b.await(`unknown 52:54:00:77:00:ee from br0 relay invalid IP class "PXEClient:Arch:00000" firmware "BIOS"`)
	if c := b.stop(); c.Answers != 0 || c.Unknown == 0 {
		t.Errorf("got %+v", c)
	}
}

// TestRubbishDoesNotStopTheServer sends what no client would, and now and then what one does.
func TestRubbishDoesNotStopTheServer(t *testing.T) {
	b := newBench(t)
	n := b.plug(diskless).nic()
	random := rand.New(rand.NewPCG(1, 2))
	whole := request(dhcpv4.MessageTypeDiscover, alien, firmware("PXEClient:Arch:00007:UNDI:003016", 7)).ToBytes()
	const rubbish, probes = 1500, 15
	probe := func() {
		t.Helper()
		p := request(dhcpv4.MessageTypeDiscover, diskless, firmware("PXEClient:Arch:00007:UNDI:003016", 7))
		n.broadcast(p.ToBytes())
		if got := n.receive(p.TransactionID); got.YourIPAddr.String() != "10.77.0.11" {
			t.Errorf("got %s", got.Summary())
		}
	}
	for i := range rubbish {
		packet := bytes.Clone(whole)
		switch i % 3 {
		case 0: // cut short
			packet = packet[:random.IntN(240)]
		case 1: // options of random bytes
			for at := 240; at < len(packet); at++ {
				packet[at] = byte(random.Uint32())
			}
		case 2: // random throughout
			packet = make([]byte, random.IntN(1400))
			for at := range packet {
				packet[at] = byte(random.Uint32())
			}
		}
		n.broadcast(packet)
		if (i+1)%(rubbish/probes) == 0 {
			probe() // and let the bridge's queue run empty
		}
	}
	if c := b.stop(); c.Answers != probes || c.Malformed < rubbish/2 || c.Requests != rubbish+probes {
		t.Errorf("got %+v", c)
	}
}
