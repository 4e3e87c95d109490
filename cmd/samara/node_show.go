package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newNodeShow(g *global) *cobra.Command {
	var r reading
	var why bool
	c := &cobra.Command{
		Use:   "show NODE",
		Short: "Show all of one node",
		Long: `Show all of one node, with what its profiles say. With --why, who says each value, the node or one of
its profiles, and what it superseded.`,
		Example: `  samara node show n1
  samara node show n1 --why
  samara node show n1 -o yaml`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, nodeNames),
		RunE: func(c *cobra.Command, args []string) error {
			name, err := nodes().one(args[0])
			if err != nil {
				return err
			}
			if err := g.checkOutput(false); err != nil {
				return err
			}
			if why {
				return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
					all, err := client.Why(ctx, name)
					if err != nil {
						return err
					}
					return g.print(c.OutOrStdout(), view{data: all, table: func() table { return whyTable(all) }})
				})
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				n, err := client.Node(ctx, name)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{data: n, table: func() table { return oneNodeTable(n, time.Now()) }})
			})
		},
	}
	r.add(c)
	c.Flags().BoolVar(&why, "why", false, "who says each value")
	return c
}

// whyTable shows who says what of one node.
func whyTable(all []fleet.Provenance) table {
	t := table{head: []string{"FIELD", "VALUE", "SOURCE", "SUPERSEDED"}}
	for _, p := range all {
		t.add(dashes(provenanceCells(p)...)...)
	}
	return t
}

func oneNodeTable(n api.NodeView, now time.Time) table {
	var t table
	t.add("name", n.Name)
	t.add("image", orDash(n.Image.String()))
	for _, i := range n.Interfaces {
		t.add("interface", i.Name+"  "+orDash(i.MAC.String())+"  "+address(i))
	}
	t.add("kernel args", orDash(strings.Join(n.KernelArgs, " ")))
	t.add("rack", orDash(n.Rack))
	for path, value := range n.Node.Values() {
		if !shownAbove(path) {
			t.add(path, value)
		}
	}
	for _, path := range n.Secrets {
		t.add(path, "(set; not shown)")
	}
	t.add("state", nodeState(n, now))
	t.add("since", ago(n.Since, now))
	if n.Failure != "" {
		t.add("failure", n.Failure)
	}
	if n.Paused != "" {
		t.add("gives on", map[bool]string{false: "nothing now: ", true: "nothing any more: "}[n.Ended]+n.Paused)
	}
	for _, f := range n.Faults {
		t.add("complaint", fmt.Sprintf("%s: %s of %s, the last %s", f.What(), count(f.Count, "time"), count(f.Complainers, "peer"), ago(f.Last, now)))
	}
	return t
}

// shownAbove reports whether a field has a line of its own in the table of one node.
func shownAbove(path string) bool {
	switch path {
	case "image", "kernel_args", "rack", "discover":
		return true
	}
	return strings.HasPrefix(path, "interfaces.") && (strings.HasSuffix(path, ".mac") || strings.HasSuffix(path, ".ip"))
}
