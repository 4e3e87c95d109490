package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newNodeList(g *global) *cobra.Command {
	var r reading
	c := &cobra.Command{
		Use:     "list [NODES]",
		Aliases: []string{"ls"},
		Short:   "List nodes and what they do",
		Long: `List nodes and what they do. STATE is the last phase of the newest boot: ready for a node that is
up, unseen for one that no controller has heard of since it started, failing for one whose boot
tries a step again and again, or that cannot tell whether to pause (samara cluster set), silent for
one that has not been heard of for five minutes, discovering for one that waits for an unknown
machine (see samara node discover). What several of its peers complain about follows: "ready, sends
corrupt pieces"; they do not ask such a node any more.`,
		Example: `  samara node list
  samara node list 'n[001-100]' -o json
  samara node list -o name`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.names(1, nodeNames),
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(true); err != nil {
				return err
			}
			keep := func([]api.NodeView) ([]api.NodeView, error) { return nil, nil }
			if len(args) == 0 {
				keep = func(all []api.NodeView) ([]api.NodeView, error) { return all, nil }
			} else {
				names, err := expand(args[0])
				if err != nil {
					return err
				}
				keep = func(all []api.NodeView) ([]api.NodeView, error) { return pick(all, names) }
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				all, err := client.Nodes(ctx)
				if err != nil {
					return err
				}
				nodes, err := keep(all)
				if err != nil {
					return err
				}
				return g.printNodes(c.OutOrStdout(), nodes, time.Now())
			})
		},
	}
	r.add(c)
	return c
}

// pick returns the nodes with those names, in their order. The error is fleet.ErrNotFound if one is missing.
func pick(all []api.NodeView, names []string) ([]api.NodeView, error) {
	byName := make(map[string]api.NodeView, len(all))
	for _, n := range all {
		byName[n.Name] = n
	}
	out := make([]api.NodeView, 0, len(names))
	for _, name := range names {
		n, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("node %s: %w", name, fleet.ErrNotFound)
		}
		out = append(out, n)
	}
	return out, nil
}

func (g *global) printNodes(w io.Writer, nodes []api.NodeView, now time.Time) error {
	return g.print(w, view{
		data:  nodes,
		names: mapped(nodes, func(n api.NodeView) string { return n.Name }),
		table: func() table { return nodeTable(nodes, now) },
	})
}

// nodeTable shows one line for each node, and one more for each further network port.
func nodeTable(nodes []api.NodeView, now time.Time) table {
	t := table{head: []string{"NAME", "MAC", "IP", "IMAGE", "STATE", "SINCE"}}
	for _, n := range nodes {
		ports := n.Interfaces
		if len(ports) == 0 {
			ports = []fleet.Interface{{}}
		}
		t.add(n.Name, orDash(ports[0].MAC.String()), address(ports[0]), orDash(n.Image.String()), nodeState(n, now), ago(n.Since, now))
		for _, p := range slices.Clone(ports[1:]) {
			t.add("", orDash(p.MAC.String()), address(p))
		}
	}
	return t
}

// nodeState writes a node's state, or that it waits for a machine.
func nodeState(n api.NodeView, now time.Time) string {
	if now.Before(n.Discover) {
		return "discovering until " + clock(n.Discover)
	}
	return strings.Join(append([]string{n.State}, faultsOf(n)...), ", ")
}

// faultsOf says what a node does to its peers that so many complain about that it is not asked any more.
func faultsOf(n api.NodeView) []string {
	var out []string
	for _, f := range n.Faults {
		if f.Avoided {
			out = append(out, f.What())
		}
	}
	return out
}

func address(i fleet.Interface) string {
	if !i.IP.IsValid() {
		return "-"
	}
	return i.IP.String()
}
