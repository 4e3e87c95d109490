package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newNetworkDelete(g *global) *cobra.Command {
	var o api.ChangeOptions
	var yes bool
	c := &cobra.Command{
		Use:               "delete NAME",
		Aliases:           []string{"rm"},
		Short:             "Delete a network on which no node has an address",
		Example:           `  samara network delete lab -y`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, networkNames),
		RunE: func(c *cobra.Command, args []string) error {
			if err := fleet.CheckName("network", args[0]); err != nil {
				return err
			}
			if err := g.confirm(c, yes || o.DryRun, "delete network "+args[0]); err != nil {
				return err
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				return client.DeleteNetwork(ctx, args[0], o)
			})
		},
	}
	confirmFlag(c, &yes)
	changeFlags(c, &o)
	return c
}
