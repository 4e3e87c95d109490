package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newNetworkAdd(g *global) *cobra.Command {
	var o networkFlags
	var ch api.ChangeOptions
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a network",
		Example: `  samara network add boot --subnet 10.1.0.0/16 --gateway 10.1.0.254 --dns 10.1.0.1
  samara network add lab --subnet 192.168.7.0/24 --dhcp proxy`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			n := fleet.Network{Name: args[0]}
			if o.subnet == "" {
				return usagef("network add: --subnet is missing; want a prefix such as 10.1.0.0/16")
			}
			if err := o.apply(&n, func(string) bool { return true }); err != nil {
				return err
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				return client.AddNetwork(ctx, n, ch)
			})
		},
	}
	o.add(c)
	changeFlags(c, &ch)
	return c
}
