package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bridge is the interface that a network's machines are attached to, and the host's own interface in that network.
const Bridge = "br0"

// The network that every lab uses; they never meet, each being in a namespace.
var (
	Subnet            = netip.MustParsePrefix("10.77.0.0/24")
	ControllerAddress = netip.MustParseAddr("10.77.0.1")
)

// netnsDir is where ip-netns(8) keeps names of namespaces.
const netnsDir = "/run/netns"

// A Network is a network namespace with a bridge. Machines are attached to it by taps, programs run in it by Command.
type Network struct {
	Name    string
	lasting bool
}

// NewNetwork makes a network. Programs that Command starts in it die with this process; those of a lasting one do not.
// Close removes it.
func NewNetwork(name string, lasting bool) (*Network, error) {
	if err := ip("netns", "add", name); err != nil {
		return nil, fmt.Errorf("network %s: %w", name, err)
	}
	n := &Network{Name: name, lasting: lasting}
	if err := n.furnish(); err != nil {
		return nil, errors.Join(fmt.Errorf("network %s: %w", name, err), n.Close())
	}
	return n, nil
}

// OpenNetwork returns the lasting network with that name. The error wraps os.ErrNotExist if there is none.
func OpenNetwork(name string) (*Network, error) {
	if _, err := os.Stat(filepath.Join(netnsDir, name)); err != nil {
		return nil, fmt.Errorf("network %s: %w", name, err)
	}
	return &Network{Name: name, lasting: true}, nil
}

func (n *Network) furnish() error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		// With an address of its own the bridge does not change its address with every tap.
		{"link", "add", Bridge, "address", "02:77:00:00:00:01", "type", "bridge", "stp_state", "0"},
		{"addr", "add", netip.PrefixFrom(ControllerAddress, Subnet.Bits()).String(), "brd", "+", "dev", Bridge},
		{"link", "set", Bridge, "up"},
		// Cut needs rules that come before the table of local addresses, which has the first place by default.
		{"rule", "add", "pref", "100", "lookup", "local"},
		{"rule", "del", "pref", "0"},
	} {
		if err := n.ip(args...); err != nil {
			return err
		}
	}
	// Early demultiplexing hands packets of established connections to their sockets without asking the rules.
	return n.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_early_demux", []byte("0"), 0) })
}

// AddTap makes a tap that is attached to the bridge, for one machine.
func (n *Network) AddTap(name string) error {
	if err := n.ip("tuntap", "add", "dev", name, "mode", "tap"); err != nil {
		return err
	}
	return n.ip("link", "set", "dev", name, "master", Bridge, "up")
}

// cutPref is the place of Cut's rules, before the table of local addresses.
const cutPref = "50"

// Cut drops every packet between this host and the machines that comes from or goes to a TCP port, whichever side has
// the port: established connections fall silent, new ones are not made in either direction. Traffic among the
// machines stays on the bridge and goes on.
func (n *Network) Cut(port uint16) error {
	p := strconv.Itoa(int(port))
	for _, side := range []string{"dport", "sport"} {
		for _, iif := range []string{Bridge, "lo"} { // received from machines; made on this host
			if err := n.ip("rule", "add", "pref", cutPref, "iif", iif, "ipproto", "tcp", side, p, "blackhole"); err != nil {
				return err
			}
		}
	}
	return nil
}

// Heal undoes every Cut.
func (n *Network) Heal() error {
	rules, err := output(exec.Command("ip", "-n", n.Name, "rule", "list", "pref", cutPref))
	if err != nil {
		return err
	}
	for range strings.Count(string(rules), "\n") {
		if err := n.ip("rule", "del", "pref", cutPref); err != nil {
			return err
		}
	}
	return nil
}

// Command returns a command that will run inside the network. The shell's rules for os/exec hold: it is the caller
// that starts it and waits.
func (n *Network) Command(program string, args ...string) *exec.Cmd {
	c := exec.Command("ip", append([]string{"netns", "exec", n.Name, program}, args...)...)
	if n.lasting {
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C at the terminal is not for it
	} else {
		// The signal comes when the starting thread ends, not the process; Go ends a thread only if a goroutine dies
		// while it is locked to it, and Do never does.
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	}
	return c
}

// Output runs a program inside the network and returns what it wrote to stdout. When ctx ends the program is killed.
func (n *Network) Output(ctx context.Context, program string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.Name, program}, args...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.WaitDelay = 2 * time.Second
	out, err := output(c)
	return string(out), err
}

// Do calls f on a thread inside the network: sockets that f opens belong to it wherever they are used later. f must
// not start goroutines or processes.
func (n *Network) Do(f func() error) error {
	inside, err := os.Open(filepath.Join(netnsDir, n.Name))
	if err != nil {
		return err
	}
	defer inside.Close()
	runtime.LockOSThread()
	outside, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer outside.Close()
	if err := unix.Setns(int(inside.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network %s: %w", n.Name, err)
	}
	err = f()
	if back := unix.Setns(int(outside.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread stays locked, so that nothing else runs on it by mistake.
		return fmt.Errorf("leave network %s: %w", n.Name, errors.Join(back, err))
	}
	runtime.UnlockOSThread()
	return err
}

// Dial connects from inside the network to an address, host:port with the host's IP.
func (n *Network) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	var d net.Dialer // an address without a name is dialled on the calling thread
	err = n.Do(func() error {
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Close ends whatever still runs inside the network and removes it with its bridge and taps.
func (n *Network) Close() error {
	out, err := output(exec.Command("ip", "netns", "pids", n.Name))
	if err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	var errs []error
	for field := range strings.FieldsSeq(string(out)) {
		number, err := strconv.Atoi(field)
		if err != nil || number == os.Getpid() {
			continue
		}
		if p, err := FindPID(number); err == nil {
			errs = append(errs, p.End(3*time.Second))
		}
	}
	errs = append(errs, ip("netns", "del", n.Name))
	return errors.Join(errs...)
}

// TestNetworkName returns a name for a network of this process that Sweep recognises.
func TestNetworkName(prefix string) string { return fmt.Sprintf("%s-%d", prefix, os.Getpid()) }

// Sweep removes the networks that processes which are no more left behind under names of TestNetworkName, and ends
// the programs in them.
func Sweep(prefix string) error {
	names, err := filepath.Glob(filepath.Join(netnsDir, prefix+"-*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range names {
		name := filepath.Base(path)
		owner, err := strconv.Atoi(strings.TrimPrefix(name, prefix+"-"))
		if err != nil {
			continue
		}
		if _, err := FindPID(owner); errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, (&Network{Name: name}).Close())
		}
	}
	return errors.Join(errs...)
}

func (n *Network) ip(args ...string) error { return ip(append([]string{"-n", n.Name}, args...)...) }

func ip(args ...string) error {
	_, err := output(exec.Command("ip", args...))
	return err
}
