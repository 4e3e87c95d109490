package lab

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
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
	here := newTestNetwork(t)
	there, machine := newNeighbour(t, here)
	echo(t, here, ControllerAddress, swarmPort)
	echo(t, here, ControllerAddress, otherPort)
	echo(t, there, machine, swarmPort)

	inbound := mustDial(t, there, ControllerAddress, swarmPort)
	outbound := mustDial(t, here, machine, swarmPort)
	for _, c := range []net.Conn{inbound, outbound} {
		if err := answers(c, patience); err != nil {
			t.Fatalf("before the cut: %v", err)
		}
	}

	if err := here.Cut(7602); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]net.Conn{"made by the machine": inbound, "made by this host": outbound} {
		if err := answers(c, silence); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("cut: an established connection %s: got %v, want silence", name, err)
		}
	}
	if c, err := dial(t, there, ControllerAddress, swarmPort, silence); err == nil {
		c.Close()
		t.Error("cut: a machine still reaches the port")
	}
	if c, err := dial(t, here, machine, swarmPort, silence); err == nil {
		c.Close()
		t.Error("cut: this host still reaches a machine's port")
	}
	if err := answers(mustDial(t, there, ControllerAddress, otherPort), patience); err != nil {
		t.Errorf("cut: another port: %v", err)
	}

	if err := here.Heal(); err != nil {
		t.Fatal(err)
	}
	if err := answers(mustDial(t, there, ControllerAddress, swarmPort), patience); err != nil {
		t.Errorf("healed: %v", err)
	}
}

// newNeighbour returns a namespace that stands for a machine on n's bridge, and its address.
func newNeighbour(t *testing.T, n *Network) (*Network, netip.Addr) {
	t.Helper()
	const prefix = "samara-labmachine"
	if err := Sweep(prefix); err != nil {
		t.Fatal(err)
	}
	m := &Network{Name: TestNetworkName(prefix)}
	if err := ip("netns", "add", m.Name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	address := netip.MustParseAddr("10.77.0.11")
	for _, args := range [][]string{
		{"-n", n.Name, "link", "add", "name", "veth0", "type", "veth", "peer", "name", "eth0", "netns", m.Name},
		{"-n", n.Name, "link", "set", "veth0", "master", Bridge, "up"},
		{"-n", m.Name, "addr", "add", netip.PrefixFrom(address, Subnet.Bits()).String(), "dev", "eth0"},
		{"-n", m.Name, "link", "set", "eth0", "up"},
	} {
		if err := ip(args...); err != nil {
			t.Fatal(err)
		}
	}
	return m, address
}

// echo serves connections to a port of n that get their lines back.
func echo(t *testing.T, n *Network, address netip.Addr, port string) {
	t.Helper()
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = net.Listen("tcp4", net.JoinHostPort(address.String(), port))
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

func dial(t *testing.T, n *Network, address netip.Addr, port string, timeout time.Duration) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return n.Dial(ctx, "tcp4", net.JoinHostPort(address.String(), port))
}

func mustDial(t *testing.T, n *Network, address netip.Addr, port string) net.Conn {
	t.Helper()
	c, err := dial(t, n, address, port, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// answers sends a line and waits for it to come back.
func answers(c net.Conn, within time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return err
	}
	_, err := bufio.NewReader(c).ReadString('\n')
	return err
}

func TestCloseEndsWhatRunsInTheNetwork(t *testing.T) {
	n, err := NewNetwork(TestNetworkName("samara-close"), false)
	if err != nil {
		t.Fatal(err)
	}
	p, err := StartProcess("sleeper", filepath.Join(t.TempDir(), "log"), n.Command("sleep", "600"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := p.PID()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	inside := func() (bool, error) { // ip(8) enters the network some time after its start
		out, err := output(exec.Command("ip", "netns", "pids", n.Name))
		return len(out) > 0, err
	}
	if err := poll(ctx, 10*time.Millisecond, inside); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if pid.Alive() {
		t.Errorf("process %d outlives its network", pid.Number)
	}
	if _, err := os.Stat(filepath.Join(netnsDir, n.Name)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("network %s: got %v, want none", n.Name, err)
	}
}

func TestEndLeavesAnotherProcessWithTheNumberAlone(t *testing.T) {
	c := exec.Command("sleep", "600")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	pid, err := FindPID(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	earlier := pid
	earlier.Start--
	if err := earlier.End(patience); err != nil {
		t.Fatal(err)
	}
	if !pid.Alive() {
		t.Error("ended a process that only has the number of the one recorded")
	}
}
