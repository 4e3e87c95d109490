package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
)

func newNodeDelete(g *global) *cobra.Command {
	var o api.ChangeOptions
	var yes bool
	c := &cobra.Command{
		Use:     "delete NODES",
		Aliases: []string{"rm"},
		Short:   "Delete nodes, all or none",
		Long:    `Delete nodes, all or none. A machine that runs goes on until it boots again; then it is an unknown one.`,
		Example: `  samara node delete n1
  samara node delete 'n[001-100]' -y
  samara node delete 'n[001-100]' --dry-run`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, nodeNames),
		RunE: func(c *cobra.Command, args []string) error {
			names, err := expand(args[0])
			if err != nil {
				return err
			}
			what := "delete node " + names[0]
			if len(names) > 1 {
				what = fmt.Sprintf("delete %d nodes, %s", len(names), args[0])
			}
			if err := g.confirm(c, yes || o.DryRun, what); err != nil {
				return err
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				return client.DeleteNodes(ctx, names, o)
			})
		},
	}
	confirmFlag(c, &yes)
	changeFlags(c, &o)
	return c
}
