package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
)

func newImageDelete(g *global) *cobra.Command {
	var o api.ChangeOptions
	var yes bool
	c := &cobra.Command{
		Use:     "delete NAME[:VERSION]",
		Aliases: []string{"rm"},
		Short:   "Delete an image, or one version of it",
		Long:    `Delete an image, or one version of it. It is refused while a node is to boot it.`,
		Example: `  samara image delete debian:3
  samara image delete debian -y`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, imageNames),
		RunE: func(c *cobra.Command, args []string) error {
			ref, err := imageArg(args[0])
			if err != nil {
				return err
			}
			what := "delete image " + ref.String()
			if ref.Version == 0 {
				what += " with all its versions"
			}
			if err := g.confirm(c, yes || o.DryRun, what); err != nil {
				return err
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				return client.DeleteImage(ctx, ref, o)
			})
		},
	}
	confirmFlag(c, &yes)
	changeFlags(c, &o)
	return c
}
