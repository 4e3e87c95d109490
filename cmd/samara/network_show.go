package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
)

func newNetworkShow(g *global) *cobra.Command {
	var r reading
	c := &cobra.Command{
		Use:               "show NAME",
		Short:             "Show one network",
		Example:           `  samara network show boot -o yaml`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, networkNames),
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				n, err := client.Network(ctx, args[0])
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{data: n, table: func() table {
					var t table
					t.add("name", n.Name)
					t.add("subnet", n.Subnet.String())
					t.add("gateway", gateway(n))
					t.add("dns", dnsServers(n))
					t.add("domain", orDash(n.Domain))
					t.add("dhcp", string(n.DHCP))
					t.add("discovery", orDash(n.Discovery.String()))
					return t
				}})
			})
		},
	}
	r.add(c)
	return c
}
