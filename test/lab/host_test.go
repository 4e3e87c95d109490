package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

const (
	swarmPort = "7602"
	otherPort = "7600"
	patience  = 3 * time.Second
	silence   = time.Second // several retransmissions of TCP
)

// TestCutSilencesOnePort proves Cut against both kinds of connection in both directions, and that no other port and no
// healed one is touched.
func TestCutSilencesOnePort(t *testing.T) {
	hosts := newTestHosts(t, 2)
	here, there := hosts[0], hosts[1]
	echo(t, here, swarmPort)
	echo(t, here, otherPort)
	echo(t, there, swarmPort)

	inbound := mustDial(t, there, here, swarmPort)
	outbound := mustDial(t, here, there, swarmPort)
	for _, c := range []net.Conn{inbound, outbound} {
		if err := answers(c, patience); err != nil {
			t.Fatalf("before the cut: %v", err)
		}
	}

	if err := here.Cut(7602); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]net.Conn{"made by another": inbound, "made by this host": outbound} {
		if err := answers(c, silence); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("cut: an established connection %s: got %v, want silence", name, err)
		}
	}
	if c, err := dial(t, there, here, swarmPort, silence); err == nil {
		c.Close()
		t.Error("cut: another host still reaches the port")
	}
	if c, err := dial(t, here, there, swarmPort, silence); err == nil {
		c.Close()
		t.Error("cut: this host still reaches another's port")
	}
	if err := answers(mustDial(t, there, here, otherPort), patience); err != nil {
		t.Errorf("cut: another port: %v", err)
	}

	if err := here.Heal(); err != nil {
		t.Fatal(err)
	}
	if err := answers(mustDial(t, there, here, swarmPort), patience); err != nil {
		t.Errorf("healed: %v", err)
	}
}

// TestPartSeparatesSides proves that nothing passes between the sides of a partition, not even on connections from
// before it, that it passes within them, and that connections survive it.
func TestPartSeparatesSides(t *testing.T) {
	h := newTestHosts(t, 3)
	for _, host := range h {
		echo(t, host, otherPort)
	}
	within, across := mustDial(t, h[0], h[1], otherPort), mustDial(t, h[2], h[0], otherPort)
	for _, c := range []net.Conn{within, across} {
		if err := answers(c, patience); err != nil {
			t.Fatalf("before: %v", err)
		}
	}
	if err := Part(h[:2], h[2:]); err != nil {
		t.Fatal(err)
	}
	if err := answers(within, patience); err != nil {
		t.Errorf("within a side: %v", err)
	}
	if err := answers(across, silence); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("across: an established connection: got %v, want silence", err)
	}
	for _, pair := range [][2]*Host{{h[0], h[2]}, {h[2], h[1]}} {
		_, err := dial(t, pair[0], pair[1], otherPort, silence)
		if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("across: from %s to %s: got %v, want silence", pair[0].ID, pair[1].ID, err)
		}
	}
	for _, host := range h {
		if err := host.Heal(); err != nil {
			t.Fatal(err)
		}
	}
	// TCP sends again what got lost, so the connection's answer comes late, but comes.
	if err := hears(across, patience); err != nil {
		t.Errorf("healed: the connection from before: %v", err)
	}
	if err := answers(mustDial(t, h[2], h[1], otherPort), patience); err != nil {
		t.Errorf("healed: %v", err)
	}
}

// TestIgnoreIsOneSided sends datagrams in both directions while one side ignores the other.
func TestIgnoreIsOneSided(t *testing.T) {
	h := newTestHosts(t, 2)
	deaf, heard := datagrams(t, h[0]), datagrams(t, h[1])
	if err := h[0].Ignore(h[1]); err != nil {
		t.Fatal(err)
	}
	send(t, deaf, h[1])
	if _, err := receive(heard, patience); err != nil {
		t.Errorf("from the side that ignores: %v", err)
	}
	send(t, heard, h[0])
	if got, err := receive(deaf, silence); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("to the side that ignores: got %q, %v, want silence", got, err)
	}
}

// TestHostsHearBroadcasts is what DHCP needs of them.
func TestHostsHearBroadcasts(t *testing.T) {
	h := newTestHosts(t, 2)
	var all []net.PacketConn
	for _, host := range h {
		all = append(all, datagrams(t, host))
	}
	var from net.PacketConn
	err := h[0].Network.Do(func() (err error) {
		from, err = net.ListenPacket("udp4", ":0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close() })
	if _, err := from.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.IPv4(10, 77, 0, 255), Port: datagramPort}); err != nil {
		t.Fatal(err)
	}
	for i, conn := range all {
		if _, err := receive(conn, patience); err != nil {
			t.Errorf("%s: %v", h[i].ID, err)
		}
	}
}

// newTestHosts returns the first hosts of a network of their own.
func newTestHosts(t *testing.T, count int) []*Host {
	t.Helper()
	n := newTestNetwork(t)
	var hosts []*Host
	for i := range count {
		h, err := n.AddHost(i + 1)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, h)
	}
	return hosts
}

const datagramPort = 7603

// datagrams returns a socket of h that receives datagrams from everybody.
func datagrams(t *testing.T, h *Host) net.PacketConn {
	t.Helper()
	var conn net.PacketConn
	err := h.Do(func() (err error) {
		conn, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", datagramPort))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t *testing.T, from net.PacketConn, to *Host) {
	t.Helper()
	if _, err := from.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.Address, datagramPort))); err != nil {
		t.Fatal(err)
	}
}

func receive(conn net.PacketConn, within time.Duration) (string, error) {
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	b := make([]byte, 100)
	size, _, err := conn.ReadFrom(b)
	return string(b[:size]), err
}

// echo serves connections to a port of h that get their lines back.
func echo(t *testing.T, h *Host, port string) {
	t.Helper()
	var l net.Listener
	err := h.Do(func() (err error) {
		l, err = net.Listen("tcp4", net.JoinHostPort(h.Address.String(), port))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for s := bufio.NewScanner(c); s.Scan(); {
					if _, err := c.Write(append(s.Bytes(), '\n')); err != nil {
						return
					}
				}
			}()
		}
	}()
}

func dial(t *testing.T, from, to *Host, port string, timeout time.Duration) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return from.Dial(ctx, "tcp4", net.JoinHostPort(to.Address.String(), port))
}

func mustDial(t *testing.T, from, to *Host, port string) net.Conn {
	t.Helper()
	c, err := dial(t, from, to, port, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// answers sends a line and waits for it to come back.
func answers(c net.Conn, within time.Duration) error {
	if err := c.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return err
	}
	return hears(c, within)
}

// hears waits for a line.
func hears(c net.Conn, within time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := bufio.NewReader(c).ReadString('\n')
	return err
}
