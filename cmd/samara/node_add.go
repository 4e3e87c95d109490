package main

import (
	"context"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

type nodeAddOptions struct {
	nodeFlags
	api.ChangeOptions
}

func newNodeAdd(g *global) *cobra.Command {
	var o nodeAddOptions
	c := &cobra.Command{
		Use:   "add NODES",
		Short: "Add nodes, all or none",
		Long: `Add nodes, all or none.

For a range of nodes --ip is the address of the first, and the others follow; network and
broadcast addresses and the gateway are left out. A machine whose MAC address is not known
yet shows up in "samara node unknown" when it asks to boot.`,
		Example: `  samara node add n1 --mac 52:54:00:12:34:56 --ip 10.1.0.11 --image debian
  samara node add 'n[001-100]' --ip 10.1.0.11 --image debian --rack r1
  samara node add 'n[1-2]' --mac 52:54:00:00:00:01,52:54:00:00:00:02 --ip 10.1.0.11 --dry-run`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			nodes, first, err := o.nodes(args[0])
			if err != nil {
				return err
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				if err := o.addresses(ctx, client, nodes, first); err != nil {
					return api.Change{}, err
				}
				return client.AddNodes(ctx, nodes, o.ChangeOptions)
			})
		},
	}
	o.add(c, g)
	changeFlags(c, &o.ChangeOptions)
	return c
}

// nodes returns the nodes that the flags describe, without addresses, and the first address.
func (o *nodeAddOptions) nodes(list string) ([]fleet.Node, netip.Addr, error) {
	names, err := expand(list)
	if err != nil {
		return nil, netip.Addr{}, err
	}
	macs, err := o.macs(len(names))
	if err != nil {
		return nil, netip.Addr{}, err
	}
	first, err := parseAddr("ip", o.ip)
	if err != nil {
		return nil, netip.Addr{}, err
	}
	ref, err := o.ref()
	if err != nil {
		return nil, netip.Addr{}, err
	}
	nodes := make([]fleet.Node, len(names))
	for i, name := range names {
		nodes[i] = fleet.Node{Name: name, Settings: fleet.Settings{Image: ref, KernelArgs: o.words(), Rack: o.rack}}
		if macs != nil || first.IsValid() {
			nodes[i].Interfaces = []fleet.Interface{{Name: o.iface}}
		}
		if macs != nil {
			nodes[i].Interfaces[0].MAC = macs[i]
		}
	}
	return nodes, first, nil
}

// addresses gives nodes their addresses from first on, if it is one.
func (o *nodeAddOptions) addresses(ctx context.Context, c *api.Client, nodes []fleet.Node, first netip.Addr) error {
	if !first.IsValid() {
		return nil
	}
	ips, err := addressesOn(ctx, c, first, len(nodes))
	if err != nil {
		return err
	}
	for i := range nodes {
		nodes[i].Interfaces[0].IP = ips[i]
	}
	return nil
}

// addressesOn is addressesFrom on the cluster's networks.
func addressesOn(ctx context.Context, c *api.Client, first netip.Addr, n int) ([]netip.Addr, error) {
	networks, err := c.Networks(ctx)
	if err != nil {
		return nil, err
	}
	return addressesFrom(first, n, networks)
}
