package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newNetworkList(g *global) *cobra.Command {
	var r reading
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List networks",
		Example: `  samara network list`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := g.checkOutput(true); err != nil {
				return err
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				networks, err := client.Networks(ctx)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{
					data:  networks,
					names: mapped(networks, func(n fleet.Network) string { return n.Name }),
					table: func() table { return networkTable(networks) },
				})
			})
		},
	}
	r.add(c)
	return c
}

func networkTable(networks []fleet.Network) table {
	t := table{head: []string{"NAME", "SUBNET", "GATEWAY", "DNS", "DOMAIN", "DHCP", "DISCOVERY"}}
	for _, n := range networks {
		t.add(n.Name, n.Subnet.String(), gateway(n), dnsServers(n), orDash(n.Domain), string(n.DHCP), orDash(n.Discovery.String()))
	}
	return t
}

func gateway(n fleet.Network) string {
	if !n.Gateway.IsValid() {
		return "-"
	}
	return n.Gateway.String()
}

func dnsServers(n fleet.Network) string {
	words := make([]string, len(n.DNS))
	for i, a := range n.DNS {
		words[i] = a.String()
	}
	return orDash(strings.Join(words, ","))
}
