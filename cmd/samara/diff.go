package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newDiff(g *global) *cobra.Command {
	var r reading
	c := &cobra.Command{
		Use:   "diff REV [REV]",
		Short: "Say how the configuration differs between two revisions",
		Long: `Say how the configuration differs between two revisions, or between one and now: field by field, and what became of
nodes through their profiles. "samara history" lists revisions.`,
		Example: `  samara diff 1199 1200
  samara diff 1200`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: g.words(2, revisions),
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			from, err := parseRevision(args[0])
			if err != nil {
				return err
			}
			var to fleet.Revision // 0 is now
			if len(args) > 1 {
				if to, err = parseRevision(args[1]); err != nil {
					return err
				}
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				d, err := client.Compare(ctx, from, to)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{data: d, text: func(w io.Writer) error {
					if len(d.Changed)+len(d.Effects) == 0 {
						_, err := fmt.Fprintf(w, "no difference between revisions %d and %d\n", d.From, d.To)
						return err
					}
					return writeBlocks(w, d.Changed, d.Effects)
				}})
			})
		},
	}
	r.add(c)
	return c
}

// revisions returns the revisions of the latest changes.
func revisions(ctx context.Context, c *api.Client) ([]string, error) {
	entries, err := c.History(ctx, api.HistoryQuery{})
	return mapped(entries, func(e api.HistoryEntry) string { return revisionText(e.Revision) }), err
}
