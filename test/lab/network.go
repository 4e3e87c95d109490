package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Bridge is the interface that a network's machines and hosts are attached to, and the lab's own in that network.
const Bridge = "br0"

// The network that every lab uses; they never meet, each being in namespaces of its own. From its own address a lab
// looks at controllers and machines, as a person at a desk does.
var (
	Subnet            = netip.MustParsePrefix("10.77.0.0/24")
	OwnAddress        = netip.MustParseAddr("10.77.0.254")
	ControllerAddress = HostAddress(1) // the first controller's
)

// A Network is a network namespace with a bridge. Machines are attached to it by taps, hosts by pairs of interfaces.
type Network struct {
	Namespace
}

// NewNetwork makes a network. Programs that Command starts in it or in its hosts die with this process; those of a
// lasting one do not. Close removes it.
func NewNetwork(name string, lasting bool) (*Network, error) {
	space, err := newNamespace(name, lasting)
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", name, err)
	}
	n := &Network{space}
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
	return &Network{Namespace{name, true}}, nil
}

func (n *Network) furnish() error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		// With an address of its own the bridge does not change its address with every tap.
		{"link", "add", Bridge, "address", "02:77:00:00:00:01", "type", "bridge", "stp_state", "0"},
		{"addr", "add", netip.PrefixFrom(OwnAddress, Subnet.Bits()).String(), "brd", "+", "dev", Bridge},
		{"link", "set", Bridge, "up"},
	} {
		if err := n.ip(args...); err != nil {
			return err
		}
	}
	return nil
}

// AddTap makes a tap that is attached to the bridge, for one machine.
func (n *Network) AddTap(name string) error {
	if err := n.ip("tuntap", "add", "dev", name, "mode", "tap"); err != nil {
		return err
	}
	return n.ip("link", "set", "dev", name, "master", Bridge, "up")
}

// Close ends whatever still runs inside the network and its hosts, and removes them with their interfaces and disks.
func (n *Network) Close() error {
	spaces, err := filepath.Glob(filepath.Join(netnsDir, n.Name+hostMark+"*"))
	if err != nil {
		return err
	}
	if path := filepath.Join(netnsDir, n.Name); exists(path) {
		spaces = append(spaces, path)
	}
	var ends errgroup.Group
	for _, path := range spaces {
		pids, err := Namespace{Name: filepath.Base(path)}.pids()
		if err != nil {
			return fmt.Errorf("network %s: %w", n.Name, err)
		}
		for _, p := range pids {
			ends.Go(func() error { return p.End(3 * time.Second) })
		}
	}
	errs := []error{ends.Wait(), n.removeDisks()}
	for _, path := range spaces {
		errs = append(errs, ip("netns", "del", filepath.Base(path)))
	}
	return errors.Join(errs...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// TestNetworkName returns a name for a network of this process that Sweep recognises.
func TestNetworkName(prefix string) string { return fmt.Sprintf("%s-%d", prefix, os.Getpid()) }

// Sweep removes the networks that processes which are no more left behind under names of TestNetworkName, and ends
// the programs in them.
func Sweep(prefix string) error {
	paths, err := filepath.Glob(filepath.Join(netnsDir, prefix+"-*"))
	if err != nil {
		return err
	}
	var names []string
	for _, path := range paths {
		name, _, _ := strings.Cut(filepath.Base(path), hostMark)
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	var errs []error
	for _, name := range names {
		owner, err := strconv.Atoi(strings.TrimPrefix(name, prefix+"-"))
		if err != nil {
			continue
		}
		if _, err := FindPID(owner); errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, (&Network{Namespace{Name: name}}).Close())
		}
	}
	return errors.Join(errs...)
}

// RunInside runs this program once more, with the same arguments and the further environment, inside the network, and
// returns its error. A test whose own sockets all belong to the network begins so.
func (n *Network) RunInside(ctx context.Context, env ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := n.Command(self, os.Args[1:]...)
	c.Env = append(os.Environ(), env...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := c.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Process.Kill() })
	defer stop()
	return c.Wait()
}
