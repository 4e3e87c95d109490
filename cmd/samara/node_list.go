package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/selection"
	"github.com/samara-hpc/samara/internal/api"
)

func newNodeList(g *global) *cobra.Command {
	var r reading
	var o listFlags
	var long bool
	c := &cobra.Command{
		Use:     "list [NODES]",
		Aliases: []string{"ls"},
		Short:   "List nodes and what they do",
		Long: `List nodes, with what their profiles say, and what they do. Nodes that show the same share a line; csv
has a line for each. STATE is the last phase of the newest boot: ready for a node that is
up, unseen for one that no controller has heard of since it started, failing for one whose boot
tries a step again and again, or that cannot tell whether to pause (samara cluster set), silent for
one that has not been heard of for five minutes, discovering for one that waits for an unknown
machine (see samara node discover). What several of its peers complain about follows: "ready, sends
corrupt pieces"; they do not ask such a node any more.`,
		Example: `  samara node list
  samara node list '@rack3,!n7' -l
  samara node list --fields image,kernel_args,interfaces.*.ip
  samara node list 'n[001-100]' -o json
  samara node list '&profile=gpu' -o name`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.selections(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(true); err != nil {
				return err
			}
			var which *selection.Selection
			if len(args) > 0 {
				s, err := selection.Parse(args[0])
				if err != nil {
					return err
				}
				which = &s
			}
			otherwise := nodeListing()
			if long {
				otherwise = longListing(time.Now())
			}
			shown, err := o.listing(otherwise)
			if err != nil {
				return err
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				views, err := pick(ctx, client, which)
				if err != nil {
					return err
				}
				now := time.Now()
				all := make([]listed, len(views))
				for i := range views {
					all[i] = listedNode(&views[i], now)
				}
				if o.all {
					why, err := whyAll(ctx, client, all)
					if err != nil {
						return err
					}
					shown = whyListing(why)
				}
				return g.printList(c.OutOrStdout(), nodes(), all, shown, o.fields)
			})
		},
	}
	r.add(c)
	o.add(c)
	c.Flags().BoolVarP(&long, "long", "l", false, "show addresses, and since when nodes do what they do: a line for each")
	c.MarkFlagsMutuallyExclusive("fields", "all", "net", "ipmi", "long")
	return c
}

// pick returns the nodes that a selection chooses, in its order; nil is all nodes.
func pick(ctx context.Context, c *api.Client, which *selection.Selection) ([]api.NodeView, error) {
	var names []string
	var fixed bool
	var err error
	if which != nil {
		names, fixed, err = which.Names()
	}
	if err != nil {
		return nil, err
	}
	if fixed && len(names) <= maxSingle {
		return eachOf(names, func(name string) (api.NodeView, error) { return c.Node(ctx, name) })
	}
	all, err := c.Nodes(ctx)
	switch {
	case err != nil:
		return nil, err
	case which == nil:
		slices.SortFunc(all, byName)
		return all, nil
	case !fixed:
		if names, err = selectFrom(ctx, c, *which, all); err != nil {
			return nil, err
		}
	}
	at := make(map[string]*api.NodeView, len(all))
	for i := range all {
		at[all[i].Name] = &all[i]
	}
	return eachOf(names, func(name string) (api.NodeView, error) {
		if n, ok := at[name]; ok {
			return *n, nil
		}
		return api.NodeView{}, fmt.Errorf("node %s: %w", name, fleet.ErrNotFound)
	})
}

// eachOf returns what of returns for each name. It stops at the first error.
func eachOf[T any](names []string, of func(name string) (T, error)) ([]T, error) {
	out := make([]T, len(names))
	for i, name := range names {
		var err error
		if out[i], err = of(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// nodeListing shows what nodes are and do.
func nodeListing() listing {
	return listing{[]string{"PROFILES", "IMAGE", "RACK", "STATE"}, func(n *listed) [][]string {
		return [][]string{{strings.Join(n.profiles, ","), n.settings.Image.String(), n.settings.Rack, n.state}}
	}}
}

// longListing shows one line for each node, and one more for each further network port.
func longListing(now time.Time) listing {
	return listing{[]string{"MAC", "IP", "IMAGE", "STATE", "SINCE"}, func(n *listed) [][]string {
		ports := n.settings.Interfaces
		if len(ports) == 0 {
			ports = []fleet.Interface{{}}
		}
		since := n.view.(api.NodeView).Since
		lines := [][]string{{ports[0].MAC.String(), addressText(ports[0].IP), n.settings.Image.String(), n.state, ago(since, now)}}
		for _, p := range ports[1:] {
			lines = append(lines, []string{p.MAC.String(), addressText(p.IP)})
		}
		return lines
	}}
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

func address(i fleet.Interface) string { return orDash(addressText(i.IP)) }

// addressText writes an address, or "" for none.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
