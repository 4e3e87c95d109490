package main

import (
	"context"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

type nodeSetOptions struct {
	nodeFlags
	api.ChangeOptions
	drop bool
}

func newNodeSet(g *global) *cobra.Command {
	var o nodeSetOptions
	c := &cobra.Command{
		Use:   "set NODES",
		Short: "Change nodes, all or none",
		Long: `Change nodes, all or none. What no flag names stays as it is. A node that runs takes the change
with its next boot.`,
		Example: `  samara node set 'n[001-100]' --image debian
  samara node set n1 --mac 52:54:00:12:34:56
  samara node set n1 --kernel-arg console=ttyS0 --kernel-arg quiet
  samara node set n1 --interface ib0 --drop-interface`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, nodeNames),
		RunE: func(c *cobra.Command, args []string) error {
			set, first, err := o.command(args[0], c.Flags().Changed)
			if err != nil {
				return err
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				if first.IsValid() {
					ips, err := addressesOn(ctx, client, first, len(set.Names))
					if err != nil {
						return api.Change{}, err
					}
					for i := range set.Interfaces {
						set.Interfaces[i].IP = &ips[i]
					}
				}
				return client.SetNodes(ctx, set, o.ChangeOptions)
			})
		},
	}
	o.add(c, g)
	c.Flags().BoolVar(&o.drop, "drop-interface", false, "remove the network port that --interface names")
	changeFlags(c, &o.ChangeOptions)
	return c
}

// command returns the change that the flags describe, without addresses, and the first address.
func (o *nodeSetOptions) command(list string, changed func(string) bool) (fleet.SetNodes, netip.Addr, error) {
	fail := func(err error) (fleet.SetNodes, netip.Addr, error) { return fleet.SetNodes{}, netip.Addr{}, err }
	names, err := expand(list)
	if err != nil {
		return fail(err)
	}
	set := fleet.SetNodes{Names: names}
	if changed("image") {
		ref, err := o.ref()
		if err != nil {
			return fail(err)
		}
		set.Image = &ref
	}
	if changed("kernel-arg") {
		words := o.words()
		set.KernelArgs = &words
	}
	if changed("rack") {
		set.Rack = &o.rack
	}
	if o.drop && (changed("mac") || changed("ip")) {
		return fail(usagef("--drop-interface goes without --mac and --ip"))
	}
	first, err := o.interfaces(&set, changed)
	if err != nil {
		return fail(err)
	}
	if set.Image == nil && set.KernelArgs == nil && set.Rack == nil && len(set.Interfaces) == 0 {
		return fail(usagef("node set: no flag says what to change; samara node set --help lists them"))
	}
	return set, first, nil
}

// interfaces adds to set what the flags say of network ports, and returns the first address, if they name one.
func (o *nodeSetOptions) interfaces(set *fleet.SetNodes, changed func(string) bool) (netip.Addr, error) {
	if !o.drop && !changed("mac") && !changed("ip") {
		return netip.Addr{}, nil
	}
	macs, err := o.macs(len(set.Names))
	if err != nil {
		return netip.Addr{}, err
	}
	first, err := parseAddr("ip", o.ip)
	if err != nil {
		return netip.Addr{}, err
	}
	for i, name := range set.Names {
		one := fleet.SetInterface{Node: name, Name: o.iface, Drop: o.drop}
		switch {
		case macs != nil:
			one.MAC = &macs[i]
		case changed("mac"):
			one.MAC = &fleet.MAC{}
		}
		if changed("ip") {
			one.IP = &netip.Addr{}
		}
		set.Interfaces = append(set.Interfaces, one)
	}
	return first, nil
}
