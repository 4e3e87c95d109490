package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
)

func newClusterShow(g *global) *cobra.Command {
	var r reading
	c := &cobra.Command{
		Use:     "show",
		Short:   "Show the cluster, its controllers, and what holds for all nodes",
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
	addSeeding(&t, c.Seeding)
	for _, k := range c.AuthorizedKeys {
		t.add("root's key", k)
	}
	return t
}

func atMost(bytesPerSecond int64) string {
	if bytesPerSecond == 0 {
		return "no limit"
	}
	return "at most " + rateText(bytesPerSecond)
}

// addSeeding adds how images are given on.
func addSeeding(t *table, s fleet.Seeding) {
	t.add("node upload", atMost(s.NodeUpload))
	t.add("origin upload", atMost(s.OriginUpload))
	if s.PauseFile != "" {
		t.add("nodes pause", "while "+printable(s.PauseFile)+" exists")
	}
	if s.PauseCommand != "" {
		t.add("nodes pause", "while "+printable(s.PauseCommand)+" exits with 0")
	}
}
