package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
	"github.com/samara-hpc/samara/fleet/selection"
	"github.com/samara-hpc/samara/internal/api"
)

// A noun is what nodes and profiles have in common for the verbs that work on both.
type noun struct {
	kind    string // fleet.ObjectNode or fleet.ObjectProfile
	several string // what stands for some of them in a command line
	fresh   func(name string) fleet.Object
	// choose returns a function that returns the names that an argument stands for, at least one, or says why it stands for none.
	choose func(arg string) (chooser, error)
	fold   func(names []string) string
	// names returns the names that an argument stands for which is of names alone: those of what is to be made.
	names func(arg string) ([]string, error)
	// read returns one of them as it was written, and whether it has secrets, which are not shown.
	read     func(context.Context, *api.Client, string) (fleet.Object, bool, error)
	complete func(g *global, enough int) completion
}

// A chooser returns names of objects that a cluster may have. They need not exist.
type chooser = func(context.Context, *api.Client) ([]string, error)

func nodes() noun {
	return noun{
		kind: fleet.ObjectNode, several: "NODES",
		fresh:  func(name string) fleet.Object { return fleet.Object{Node: &fleet.Node{Name: name}} },
		choose: chooseNodes,
		names:  expand,
		fold:   hostlist.Fold,
		read: func(ctx context.Context, c *api.Client, name string) (fleet.Object, bool, error) {
			n, err := c.WrittenNode(ctx, name)
			return fleet.Object{Node: &n.Node}, len(n.Secrets) > 0, err
		},
		complete: func(g *global, enough int) completion { return g.selections(enough) },
	}
}

func profiles() noun {
	return noun{
		kind: fleet.ObjectProfile, several: "PROFILES",
		fresh: func(name string) fleet.Object { return fleet.Object{Profile: &fleet.Profile{Name: name}} },
		choose: func(arg string) (chooser, error) {
			names, err := profileList(arg)
			return func(context.Context, *api.Client) ([]string, error) { return names, nil }, err
		},
		names: profileList,
		fold:  func(names []string) string { return strings.Join(names, ",") },
		read: func(ctx context.Context, c *api.Client, name string) (fleet.Object, bool, error) {
			p, err := c.Profile(ctx, name)
			return fleet.Object{Profile: &p.Profile}, len(p.Secrets) > 0, err
		},
		complete: func(g *global, enough int) completion { return g.words(enough, profileNames) },
	}
}

// chooseNodes reads a selection of nodes.
func chooseNodes(arg string) (chooser, error) {
	s, err := selection.Parse(arg)
	if err != nil {
		return nil, err
	}
	names, fixed, err := s.Names()
	if err != nil || fixed {
		return func(context.Context, *api.Client) ([]string, error) { return names, nil }, err
	}
	return func(ctx context.Context, c *api.Client) ([]string, error) {
		views, err := c.Nodes(ctx)
		if err != nil {
			return nil, err
		}
		return selectFrom(ctx, c, s, views)
	}, nil
}

// selectFrom returns the names of the nodes that s chooses of all.
func selectFrom(ctx context.Context, c *api.Client, s selection.Selection, all []api.NodeView) ([]string, error) {
	views, err := c.Profiles(ctx)
	if err != nil {
		return nil, err
	}
	return s.Of(selection.Cluster{
		Nodes:    mapped(all, func(n api.NodeView) fleet.Node { return n.Node }),
		Profiles: mapped(views, func(p api.ProfileView) fleet.Profile { return p.Profile }),
	})
}

// expand returns the names that a selection of names alone stands for.
func expand(list string) ([]string, error) {
	s, err := selection.Parse(list)
	if err != nil {
		return nil, err
	}
	names, fixed, err := s.Names()
	if err == nil && !fixed {
		err = usagef("nodes %q: want names here, such as n1 or n[001-100]", list)
	}
	return names, err
}

// profileList reads names of profiles, with commas between.
func profileList(arg string) ([]string, error) {
	var names []string
	for name := range strings.SplitSeq(arg, ",") {
		if err := fleet.CheckLabel("profile", name); err != nil {
			return nil, err
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// one reads an argument that must name one object.
func (n noun) one(arg string) (string, error) {
	names, err := n.names(arg)
	if err != nil {
		return "", err
	}
	if len(names) != 1 {
		return "", usagef("%q names %d %ss; want one", arg, len(names), n.kind)
	}
	return names[0], nil
}

// of returns the objects of a configuration that are of this noun.
func (n noun) of(all api.Configuration) []fleet.Object {
	var out []fleet.Object
	if n.kind == fleet.ObjectNode {
		for i := range all.Nodes {
			out = append(out, fleet.Object{Node: &all.Nodes[i]})
		}
		return out
	}
	for i := range all.Profiles {
		out = append(out, fleet.Object{Profile: &all.Profiles[i]})
	}
	return out
}

// A draft is objects as they were written, and what must still be so when they are put.
type draft struct {
	objects []fleet.Object // in the order of their names in the command line
	same    []fleet.Condition
}

// maxSingle is how many objects are read one by one; for more, all the configuration is.
const maxSingle = 8

// draft reads the objects with those names. The error is fleet.ErrNotFound if one is missing.
func (n noun) draft(ctx context.Context, c *api.Client, names []string) (draft, error) {
	var d draft
	if len(names) > maxSingle {
		return n.draftOfAll(ctx, c, names)
	}
	for _, name := range names {
		o, _, err := n.read(ctx, c, name)
		if err != nil {
			return draft{}, err
		}
		d.objects = append(d.objects, o)
		d.same = append(d.same, fleet.Condition{Kind: n.kind, Name: name, Revision: revisionOf(o)})
	}
	return d, nil
}

func (n noun) draftOfAll(ctx context.Context, c *api.Client, names []string) (draft, error) {
	all, err := c.Configuration(ctx, 0)
	if err != nil {
		return draft{}, err
	}
	byName := make(map[string]fleet.Object, len(names))
	for _, o := range n.of(all) {
		byName[o.Ref().Name] = o
	}
	d := draft{same: []fleet.Condition{api.IfRevision(all.Revision)}}
	for _, name := range names {
		o, ok := byName[name]
		if !ok {
			return draft{}, fmt.Errorf("%s %s: %w", n.kind, name, fleet.ErrNotFound)
		}
		d.objects = append(d.objects, o)
	}
	return d, nil
}

func revisionOf(o fleet.Object) fleet.Revision {
	if o.Node != nil {
		return o.Node.Revision
	}
	return o.Profile.Revision
}

// setField makes an object say a value at a path.
func setField(o fleet.Object, path, value string) error {
	if o.Node != nil {
		return o.Node.Set(path, value)
	}
	return o.Profile.Set(path, value)
}

// maxRepeats is how often a change is computed anew because somebody else was faster.
const maxRepeats = 3

// basis reads what a change is to be made to. Where nobody leads, that is the last known state: the change will be refused,
// and that refusal says more than that of a read.
func basis[T any](c *api.Client, read func() (T, error)) (T, error) {
	got, err := read()
	if !leaderless(err) || c.Consistency != "" {
		return got, err
	}
	c.Consistency = api.Stale
	defer func() { c.Consistency = "" }()
	return read()
}

// A proposal is a change that is about to be asked for.
type proposal struct {
	edit fleet.Edit
	same []fleet.Condition // without which it would undo what others did
}

// propose asks for the change that prepare makes of what it reads, and does both again if somebody else was faster. An
// edit of nothing changes nothing.
func propose(ctx context.Context, c *api.Client, o api.ChangeOptions, prepare func() (proposal, error)) (api.Change, error) {
	for repeats := 0; ; repeats++ {
		p, err := basis(c, prepare)
		if err != nil {
			return api.Change{}, err
		}
		if len(p.edit.Puts)+len(p.edit.Deletes) == 0 {
			return api.Change{DryRun: o.DryRun, Changed: []api.Difference{}}, nil
		}
		asked := o
		asked.If = slices.Concat(o.If, p.same)
		done, err := c.Edit(ctx, p.edit, asked)
		if !errors.Is(err, fleet.ErrConflict) || len(o.If) > 0 || repeats == maxRepeats {
			return done, err
		}
	}
}

// An alteration makes a change of the objects of a draft, which it may modify.
type alteration = func(ctx context.Context, c *api.Client, objects []fleet.Object) (fleet.Edit, error)

// alter changes the objects that an argument stands for as alter says, and prints what became of it.
func (g *global) alter(c *cobra.Command, of noun, arg string, o api.ChangeOptions, alter alteration) error {
	choose, err := of.choose(arg)
	if err != nil {
		return err
	}
	return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
		return propose(ctx, client, o, func() (proposal, error) {
			names, err := choose(ctx, client)
			if err != nil {
				return proposal{}, err
			}
			d, err := of.draft(ctx, client, names)
			if err != nil {
				return proposal{}, err
			}
			edit, err := alter(ctx, client, d.objects)
			return proposal{edit, d.same}, err
		})
	})
}
