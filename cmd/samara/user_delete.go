package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newUserDelete(g *global) *cobra.Command {
	var o api.ChangeOptions
	var yes bool
	c := &cobra.Command{
		Use:     "delete NAME",
		Aliases: []string{"rm", "remove", "del"},
		Short:   "Take all certificates of a person or a program back",
		Long: `Take all certificates of a person or a program back. From then on controllers refuse what is asked with
them, on connections that are open, too; a watch and an import that are under way end. It cannot be
undone, and no rollback does: samara user add makes another certificate.`,
		Example: `  samara user delete mia -m 'her laptop was stolen'
  samara user delete mia -y`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, userNames),
		RunE: func(c *cobra.Command, args []string) error {
			name := args[0]
			if err := fleet.CheckUserName(name); err != nil {
				return err
			}
			if err := g.checkOutput(false); err != nil {
				return err
			}
			if err := g.confirm(c, yes || o.DryRun, "take all certificates of user "+name+" back"); err != nil {
				return err
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				return client.DeleteUser(ctx, name, o)
			})
		},
	}
	confirmFlag(c, &yes)
	dryRunFlag(c, &o.DryRun)
	whyFlag(c, &o.Why)
	return c
}
