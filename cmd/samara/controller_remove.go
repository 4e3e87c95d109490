package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newControllerRemove(g *global) *cobra.Command {
	var o api.ChangeOptions
	var force, yes bool
	c := &cobra.Command{
		Use:     "remove ID",
		Aliases: []string{"rm"},
		Short:   "Remove a controller from the cluster",
		Long: `Remove a controller from the cluster: one that is to go, or one that is lost. It is refused if what
stays could not take changes any more; --force does it all the same. The machine's directory is left
as it is. A controller that was removed does not come back by being started: join it again with a
new token, and an empty directory.`,
		Example: `  samara controller remove head3 -m 'its board is broken'
  samara controller remove head3 --dry-run`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, controllerIDs),
		RunE: func(c *cobra.Command, args []string) error {
			id := args[0]
			if err := fleet.CheckName("controller", id); err != nil {
				return err
			}
			if err := g.checkOutput(false); err != nil {
				return err
			}
			var what string
			if err := g.ask(c.Context(), func(ctx context.Context, client *api.Client) error {
				all, err := client.Controllers(ctx)
				if err == nil {
					what, err = whatStays(all, id)
				}
				return err
			}); err != nil {
				return err
			}
			if err := g.confirm(c, yes || o.DryRun, "remove controller "+id+" ("+what+")"); err != nil {
				return err
			}
			if yes || o.DryRun {
				if _, err := fmt.Fprintln(c.ErrOrStderr(), printable(what)); err != nil {
					return err
				}
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				return client.RemoveController(ctx, id, force, o)
			})
		},
	}
	c.Flags().BoolVar(&force, "force", false, "even if what stays cannot take changes, or lacks blobs")
	confirmFlag(c, &yes)
	dryRunFlag(c, &o.DryRun)
	whyFlag(c, &o.Why)
	return c
}

// whatStays says how the controllers are once id is gone.
func whatStays(all []api.ControllerView, id string) (string, error) {
	at := slices.IndexFunc(all, func(v api.ControllerView) bool { return v.ID == id })
	if at < 0 {
		return "", fmt.Errorf("controller %s: %w; samara controller list shows them", id, fleet.ErrNotFound)
	}
	rest := slices.Delete(slices.Clone(all), at, at+1)
	text := fmt.Sprintf("%s, %d alive", count(len(rest), "controller")+" stay", countAlive(rest))
	switch len(rest) {
	case 0:
		return "no controller stays", nil
	case 1:
		text = "1 controller stays"
	}
	if remark := availability(len(rest)); remark != "" {
		text += "; " + remark
	}
	return text, nil
}

func countAlive(all []api.ControllerView) int {
	n := 0
	for _, v := range all {
		if v.Alive {
			n++
		}
	}
	return n
}

func controllerIDs(ctx context.Context, c *api.Client) ([]string, error) {
	all, err := c.Controllers(ctx)
	return mapped(all, func(v api.ControllerView) string { return v.ID }), err
}
