package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newNodeDelete(g *global) *cobra.Command {
	c := newDelete(g, nodes(), func(ctx context.Context, c *api.Client, names []string, o api.ChangeOptions) (api.Change, error) {
		return c.DeleteNodes(ctx, names, o)
	})
	c.Short = "Delete nodes, all or none"
	c.Long = `Delete nodes, all or none. A machine that runs goes on until it boots again; then it is an unknown one.`
	c.Example = `  samara node delete n1
  samara node delete 'n[001-100],!n007' -y
  samara node delete '@rack3' --dry-run`
	return c
}

func newProfileDelete(g *global) *cobra.Command {
	c := newDelete(g, profiles(), func(ctx context.Context, c *api.Client, names []string, o api.ChangeOptions) (api.Change, error) {
		var edit fleet.Edit
		for _, name := range names {
			edit.Deletes = append(edit.Deletes, fleet.Ref{Kind: fleet.ObjectProfile, Name: name})
		}
		return c.Edit(ctx, edit, o)
	})
	c.Short = "Delete profiles that nobody uses, all or none"
	c.Example = `  samara profile delete old
  samara profile delete old,older -y`
	return c
}

// newDelete returns the verb delete of a noun, without its texts.
func newDelete(g *global, of noun, remove func(context.Context, *api.Client, []string, api.ChangeOptions) (api.Change, error)) *cobra.Command {
	var o api.ChangeOptions
	var yes bool
	c := &cobra.Command{
		Use:               "delete " + of.several,
		Aliases:           []string{"rm", "remove", "del"},
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: of.complete(g, 1),
		RunE: func(c *cobra.Command, args []string) error {
			choose, err := of.choose(args[0])
			if err != nil {
				return err
			}
			if err := g.checkOutput(false); err != nil {
				return err
			}
			var names []string
			if err := g.ask(c.Context(), func(ctx context.Context, client *api.Client) (err error) {
				names, err = choose(ctx, client)
				return err
			}); err != nil {
				return err
			}
			what := "delete " + of.kind + " " + names[0]
			if len(names) > 1 {
				what = fmt.Sprintf("delete %d %ss, %s", len(names), of.kind, of.fold(names))
			}
			if err := g.confirm(c, yes || o.DryRun, what); err != nil {
				return err
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				return remove(ctx, client, names, o)
			})
		},
	}
	confirmFlag(c, &yes)
	changeFlags(c, &o)
	return c
}
