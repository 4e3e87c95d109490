package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
)

func newNodeShow(g *global) *cobra.Command {
	var r reading
	c := &cobra.Command{
		Use:   "show NODE",
		Short: "Show all of one node",
		Example: `  samara node show n1
  samara node show n1 -o yaml`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, nodeNames),
		RunE: func(c *cobra.Command, args []string) error {
			name, err := oneNode(args[0])
			if err != nil {
				return err
			}
			if err := g.checkOutput(false); err != nil {
				return err
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
	return c
}

// oneNode checks an argument that must name one node.
func oneNode(arg string) (string, error) {
	names, err := expand(arg)
	if err != nil {
		return "", err
	}
	if len(names) != 1 {
		return "", usagef("%q names %d nodes; want one", arg, len(names))
	}
	return names[0], nil
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
	t.add("state", nodeState(n, now))
	t.add("since", ago(n.Since, now))
	if n.Failure != "" {
		t.add("failure", n.Failure)
	}
	for _, f := range n.Faults {
		t.add("complaint", fmt.Sprintf("%s: %s of %s, the last %s", f.What(), count(f.Count, "time"), count(f.Complainers, "peer"), ago(f.Last, now)))
	}
	return t
}
