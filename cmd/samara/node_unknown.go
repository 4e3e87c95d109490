package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newNodeUnknown(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "unknown",
		Short: "List machines that asked to boot and that no node claims",
		Long: `List machines that asked to boot and that no node claims. They get nothing. To take one in, give its
MAC address to a node; to take in many, add the nodes and let the machines claim them with "samara
node discover".`,
		Example: `  samara node unknown
  samara node add n1 --mac "$(samara node unknown -o name | head -1)" --ip 10.1.0.11`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := g.checkOutput(true); err != nil {
				return err
			}
			return g.ask(c.Context(), func(ctx context.Context, client *api.Client) error {
				machines, err := client.Unknown(ctx)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{
					data:  machines,
					names: mapped(machines, func(m fleet.UnknownMachine) string { return m.MAC.String() }),
					table: func() table { return unknownTable(machines, time.Now()) },
				})
			})
		},
	}
}

func unknownTable(machines []fleet.UnknownMachine, now time.Time) table {
	t := table{head: []string{"MAC", "FIRST", "LAST", "REQUESTS", "FROM", "FIRMWARE", "VENDOR CLASS"}}
	for _, m := range machines {
		from := m.From
		if m.Relay.IsValid() {
			from += " via " + m.Relay.String()
		}
		t.add(m.MAC.String(), ago(m.First, now), ago(m.Last, now), strconv.Itoa(m.Requests), orDash(from), orDash(m.Firmware), orDash(m.VendorClass))
	}
	return t
}
