package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
)

func newClusterShow(g *global) *cobra.Command {
	var r reading
	c := &cobra.Command{
		Use:     "show",
		Short:   "Show the cluster, its controllers and root's authorized keys",
		Example: `  samara cluster show`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				cluster, err := client.Cluster(ctx)
				if err != nil {
					return err
				}
				pin, err := identity.Pin([]byte(cluster.CA))
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{data: cluster, table: func() table { return clusterTable(cluster, pin) }})
			})
		},
	}
	r.add(c)
	return c
}

func clusterTable(c api.ClusterView, pin string) table {
	var t table
	t.add("name", c.Name)
	t.add("id", c.ID)
	t.add("samara.ca", pin)
	for _, ctl := range c.Controllers {
		p := ctl.Ports
		t.add("controller", fmt.Sprintf("%s at %s, ports %d control, %d boot, %d swarm, %d gossip", ctl.ID, ctl.Address, p.Control, p.Boot, p.Swarm, p.Gossip))
	}
	for _, k := range c.AuthorizedKeys {
		t.add("root's key", k)
	}
	return t
}
