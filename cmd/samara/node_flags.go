package main

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
)

// nodeFlags are the flags with which nodes are described.
type nodeFlags struct {
	mac, ip, image, rack, iface string
	kernelArgs                  []string
}

func (o *nodeFlags) add(c *cobra.Command, g *global) {
	f := c.Flags()
	f.StringVar(&o.mac, "mac", "", "hardware `address` that the node boots from; for several nodes, one each, with commas")
	f.StringVar(&o.ip, "ip", "", "`address` of the first node; the others count up from it")
	f.StringVar(&o.image, "image", "", "`NAME` of the image to boot, or NAME:VERSION; \"\" for none")
	f.StringArrayVar(&o.kernelArgs, "kernel-arg", nil, "`word` for the kernel's command line (repeatable); \"\" for none")
	f.StringVar(&o.rack, "rack", "", "`name` of the rack: nodes of one rack feed each other first; \"\" for none")
	f.StringVar(&o.iface, "interface", "default", "`name` of the network port that --mac and --ip are for")
	completeFlag(c, "image", g.names(math.MaxInt, imageNames))
}

// macs returns one hardware address for each of n nodes, or nil if none were given.
func (o *nodeFlags) macs(n int) ([]fleet.MAC, error) {
	if o.mac == "" {
		return nil, nil
	}
	words := strings.Split(o.mac, ",")
	if len(words) != n {
		return nil, usagef("--mac: %d addresses for %d nodes; want one each, separated by commas", len(words), n)
	}
	macs := make([]fleet.MAC, n)
	for i, w := range words {
		m, err := fleet.ParseMAC(strings.TrimSpace(w))
		if err != nil {
			return nil, fmt.Errorf("--mac: %w", err)
		}
		macs[i] = m
	}
	return macs, nil
}

// words returns the kernel arguments: none if the only one is empty, but never nil once the flag was given, which
// would mean "as they are".
func (o *nodeFlags) words() []string {
	if len(o.kernelArgs) == 1 && o.kernelArgs[0] == "" {
		return []string{}
	}
	return o.kernelArgs
}

func (o *nodeFlags) ref() (fleet.ImageRef, error) {
	ref, err := fleet.ParseImageRef(o.image)
	if err != nil {
		return ref, fmt.Errorf("--image: %w", err)
	}
	return ref, nil
}

// parseAddr reads an IPv4 address; "" is none.
func parseAddr(flag, s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return netip.Addr{}, usagef("--%s %q: want an IPv4 address such as 10.1.0.11", flag, s)
	}
	return a, nil
}

// expand returns the names that the argument NODES stands for, each one checked.
func expand(list string) ([]string, error) {
	names, err := hostlist.Expand(list)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if err := fleet.CheckName("node", n); err != nil {
			return nil, err
		}
	}
	return names, nil
}
