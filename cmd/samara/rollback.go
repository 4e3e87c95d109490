package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
)

func newRollback(g *global) *cobra.Command {
	var o api.ChangeOptions
	c := &cobra.Command{
		Use:   "rollback REV",
		Short: "Make the configuration what it was at a revision",
		Long: `Make nodes, profiles, networks and the settings of the cluster what they were at a revision, passwords too. It is a
change like any other: a new revision, in the history, that can be taken back in turn. Images are not touched.`,
		Example: `  samara rollback 1199 --dry-run
  samara rollback 1199 -m 'the new kernel does not boot'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.words(1, revisions),
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			to, err := parseRevision(args[0])
			if err != nil {
				return err
			}
			return g.ask(c.Context(), func(ctx context.Context, client *api.Client) error {
				ch, err := client.Rollback(ctx, to, o)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{data: ch, text: func(w io.Writer) error {
					if o.DryRun {
						return writePlan(w, ch)
					}
					return writeChange(w, ch)
				}})
			})
		},
	}
	changeFlags(c, &o)
	return c
}
