package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newNodeRename(g *global) *cobra.Command {
	c := newRename(g, nodes())
	c.Use = "rename NODE NAME"
	c.Short = "Give a node another name"
	c.Long = `Give a node another name. All that it says, its addresses too, goes along. A node that runs has its new
name once it boots again.`
	c.Example = `  samara node rename n1 login1`
	return c
}

func newProfileRename(g *global) *cobra.Command {
	c := newRename(g, profiles())
	c.Use = "rename PROFILE NAME"
	c.Short = "Give a profile another name, and tell all who use it"
	c.Example = `  samara profile rename gpu gpu-a100`
	return c
}

// newRename returns the verb rename of a noun, without its texts.
func newRename(g *global, of noun) *cobra.Command {
	var o api.ChangeOptions
	c := &cobra.Command{
		Aliases:           []string{"mv"},
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: of.complete(g, 1),
		RunE: func(c *cobra.Command, args []string) error {
			from, err := of.one(args[0])
			if err != nil {
				return err
			}
			to, err := of.one(args[1])
			if err != nil {
				return err
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				return propose(ctx, client, o, func() (proposal, error) {
					now, err := client.Configuration(ctx, 0)
					if err != nil {
						return proposal{}, err
					}
					edit, err := of.renaming(now, from, to)
					return proposal{edit, []fleet.Condition{api.IfRevision(now.Revision)}}, err
				})
			})
		},
	}
	changeFlags(c, &o)
	return c
}

// renaming returns the edit that gives an object another name, wherever that stands.
func (n noun) renaming(now api.Configuration, from, to string) (fleet.Edit, error) {
	var edit fleet.Edit
	secret := slices.ContainsFunc(now.Secrets, func(s api.SecretRef) bool { return s.Kind == n.kind && s.Name == from })
	for _, o := range n.of(now) {
		switch o.Ref().Name {
		case to:
			return edit, fmt.Errorf("%s: %w", o.Ref(), fleet.ErrExists)
		case from:
			edit.Puts = append(edit.Puts, renamed(o, to, secret))
			edit.Deletes = append(edit.Deletes, fleet.Ref{Kind: n.kind, Name: from})
		}
	}
	if len(edit.Puts) == 0 {
		return edit, fmt.Errorf("%s %s: %w", n.kind, from, fleet.ErrNotFound)
	}
	if n.kind == fleet.ObjectNode {
		return edit, nil
	}
	for i := range now.Nodes {
		if use := &now.Nodes[i]; usesName(use.Profiles, from) {
			use.Profiles = usingInstead(use.Profiles, from, to)
			edit.Puts = append(edit.Puts, fleet.Object{Node: use})
		}
	}
	for i := range now.Profiles {
		if use := &now.Profiles[i]; usesName(use.Profiles, from) {
			use.Profiles = usingInstead(use.Profiles, from, to)
			edit.Puts = append(edit.Puts, fleet.Object{Profile: use})
		}
	}
	return edit, nil
}

func usesName(list []string, profile string) bool {
	return slices.ContainsFunc(list, func(name string) bool { return strings.TrimPrefix(name, "~") == profile })
}

// usingInstead returns list with another profile in the place of one.
func usingInstead(list []string, from, to string) []string {
	return mapped(list, func(name string) string {
		if plain, negated := strings.CutPrefix(name, "~"); plain == from {
			if negated {
				return "~" + to
			}
			return to
		}
		return name
	})
}
