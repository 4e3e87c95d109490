package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newNodeCopy(g *global) *cobra.Command {
	c := newCopy(g, nodes())
	c.Use = "copy NODE NODES"
	c.Short = "Add nodes that are like another"
	c.Long = `Add nodes that say what another says itself, but for what is each node's own: MAC addresses, addresses
and the asset key. Flags change what is copied.`
	c.Example = `  samara node copy n1 n2 --mac 52:54:00:12:34:57 --ip 10.1.0.12
  samara node copy n1 'n[2-100]' --ip 10.1.0.12`
	return c
}

func newProfileCopy(g *global) *cobra.Command {
	c := newCopy(g, profiles())
	c.Use = "copy PROFILE PROFILES"
	c.Short = "Add profiles that are like another"
	c.Example = `  samara profile copy gpu gpu-next --image noble`
	return c
}

// newCopy returns the verb copy of a noun, without its texts.
func newCopy(g *global, of noun) *cobra.Command {
	var o fieldFlags
	var change api.ChangeOptions
	c := &cobra.Command{
		Aliases:           []string{"cp"},
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: of.complete(g, 1),
		RunE: func(c *cobra.Command, args []string) error {
			from, err := of.one(args[0])
			if err != nil {
				return err
			}
			names, err := of.names(args[1])
			if err != nil {
				return err
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				return o.addAll(ctx, client, of, change, func() ([]fleet.Object, error) {
					model, secret, err := of.read(ctx, client, from)
					if err == nil {
						err = dropOwn(model)
					}
					if err != nil {
						return nil, err
					}
					return mapped(names, func(name string) fleet.Object { return renamed(model, name, secret) }), nil
				})
			})
		},
	}
	o.add(c, g, of)
	changeFlags(c, &change)
	return c
}

// dropOwn takes away what a node has for itself alone.
func dropOwn(o fleet.Object) error {
	if o.Node == nil {
		return nil
	}
	var own []string
	for path := range o.Node.Values() {
		if f, ok := fleet.FieldOf(path); ok && f.NodeOnly && f.Kind != fleet.KindTime {
			own = append(own, path)
		}
	}
	for _, path := range own {
		if err := o.Node.Set(path, ""); err != nil {
			return err
		}
	}
	return nil
}

// renamed returns a copy of an object under another name, which takes its secrets along if it has any.
func renamed(o fleet.Object, name string, secret bool) fleet.Object {
	from := o.Ref().Name
	if o.Node != nil {
		n := *o.Node
		n.Name, n.Revision = name, 0
		o.Node = &n
	} else {
		p := *o.Profile
		p.Name, p.Revision = name, 0
		o.Profile = &p
	}
	if secret {
		o.SecretsOf = from
	}
	return o
}
