package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
)

func newProfileShow(g *global) *cobra.Command {
	var r reading
	c := &cobra.Command{
		Use:   "show PROFILE",
		Short: "Show all that one profile says",
		Example: `  samara profile show gpu
  samara profile show gpu -o yaml`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.words(1, profileNames),
		RunE: func(c *cobra.Command, args []string) error {
			name, err := profiles().one(args[0])
			if err != nil {
				return err
			}
			if err := g.checkOutput(false); err != nil {
				return err
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				p, err := client.Profile(ctx, name)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{data: p, table: func() table { return oneProfileTable(p) }})
			})
		},
	}
	r.add(c)
	return c
}

func oneProfileTable(p api.ProfileView) table {
	var t table
	t.add("name", p.Name)
	for path, value := range p.Profile.Values() {
		t.add(path, value)
	}
	for _, path := range p.Secrets {
		t.add(path, "(set; not shown)")
	}
	return t
}
