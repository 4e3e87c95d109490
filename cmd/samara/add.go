package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// defaultProfile is the profile of nodes that are added without a word about profiles, if there is one of that name.
const defaultProfile = "default"

func newNodeAdd(g *global) *cobra.Command {
	c := newAdd(g, nodes())
	c.Short = "Add nodes, all or none"
	c.Long = `Add nodes, all or none. Without --profile they use the profile "default", if there is one.

For a range of nodes --ip and --ipmiaddr are the addresses of the first, and the others follow; network
and broadcast addresses and the gateway are left out. A machine whose MAC address is not known
yet shows up in "samara node unknown" when it asks to boot.`
	c.Example = `  samara node add n1 --mac 52:54:00:12:34:56 --ip 10.1.0.11 --image debian
  samara node add 'n[001-100]' --ip 10.1.0.11 --profile default,gpu --rack r1
  samara node add 'n[1-2]' --mac 52:54:00:00:00:01,52:54:00:00:00:02 --ip 10.1.0.11 --dry-run`
	return c
}

func newProfileAdd(g *global) *cobra.Command {
	c := newAdd(g, profiles())
	c.Short = "Add profiles, all or none"
	c.Long = `Add profiles: settings that nodes share. A node uses those that its own --profile names, laid one over
another, its own settings over them all; a profile may use others in the same way.`
	c.Example = `  samara profile add default --image debian --kernelargs quiet
  samara profile add gpu --profile default --tagadd role=compute --comment 'nodes with GPUs'`
	return c
}

// newAdd returns the verb add of a noun, without its texts.
func newAdd(g *global, of noun) *cobra.Command {
	var o fieldFlags
	var change api.ChangeOptions
	c := &cobra.Command{
		Use:               "add " + of.several,
		Aliases:           []string{"create", "new"},
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			names, err := of.names(args[0])
			if err != nil {
				return err
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				return o.addAll(ctx, client, of, change, func() ([]fleet.Object, error) {
					used, err := o.defaultProfiles(ctx, client, of)
					return mapped(names, func(name string) fleet.Object {
						n := of.fresh(name)
						if n.Node != nil {
							n.Node.Profiles = used
						}
						return n
					}), err
				})
			})
		},
	}
	o.add(c, g, of)
	changeFlags(c, &change)
	return c
}

// defaultProfiles returns the profiles of nodes that no flag gives any.
func (o *fieldFlags) defaultProfiles(ctx context.Context, c *api.Client, of noun) ([]string, error) {
	told := slices.ContainsFunc(o.all, func(v *fieldValue) bool { return v.flag == "profile" })
	if told || of.kind != fleet.ObjectNode {
		return nil, nil
	}
	switch _, err := c.Profile(ctx, defaultProfile); {
	case err == nil:
		return []string{defaultProfile}, nil
	case errors.Is(err, fleet.ErrNotFound), errors.Is(err, api.ErrRoute): // the latter of a controller that knows no profiles yet
		return nil, nil
	default:
		return nil, err
	}
}

// maxAdded is how many nodes are added by a request of their own; more are put as an edit, which may be larger.
const maxAdded = 1000

// addAll adds what make returns, and what the flags say of it.
func (o *fieldFlags) addAll(ctx context.Context, c *api.Client, of noun, change api.ChangeOptions, make func() ([]fleet.Object, error)) (api.Change, error) {
	assigned := func() ([]fleet.Object, error) {
		objects, err := make()
		if err != nil {
			return nil, err
		}
		all, err := o.assignments(ctx, c, len(objects))
		if err != nil {
			return nil, err
		}
		return objects, assignTo(objects, all)
	}
	objects, err := basis(c, assigned)
	if err != nil {
		return api.Change{}, err
	}
	secrets := slices.ContainsFunc(objects, func(o fleet.Object) bool { return o.SecretsOf != "" })
	if of.kind == fleet.ObjectNode && len(objects) <= maxAdded && !secrets {
		return c.AddNodes(ctx, mapped(objects, func(o fleet.Object) fleet.Node { return *o.Node }), change)
	}
	return propose(ctx, c, change, func() (proposal, error) {
		objects, err := assigned()
		if err != nil {
			return proposal{}, err
		}
		absent, err := of.absent(ctx, c, objects)
		return proposal{fleet.Edit{Puts: objects}, []fleet.Condition{absent}}, err
	})
}

// absent returns the condition under which there are no objects with those names. The error is fleet.ErrExists if there
// is one.
func (n noun) absent(ctx context.Context, c *api.Client, objects []fleet.Object) (fleet.Condition, error) {
	now, err := c.Configuration(ctx, 0)
	if err != nil {
		return fleet.Condition{}, err
	}
	known := make(map[string]bool, len(objects))
	for _, o := range n.of(now) {
		known[o.Ref().Name] = true
	}
	for _, o := range objects {
		if r := o.Ref(); known[r.Name] {
			return fleet.Condition{}, fmt.Errorf("%s: %w", r, fleet.ErrExists)
		}
	}
	return api.IfRevision(now.Revision), nil
}
