package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/config"
)

func newApply(g *global) *cobra.Command {
	var files documentFlags
	var o api.ChangeOptions
	var prune, yes bool
	c := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make the configuration what files say",
		Long: `Make nodes, profiles, networks and the settings of the cluster what files of YAML documents say: all of it
in one change, or none. What a file says of an object is all that the object says from then on;
objects that no file has stay as they are, unless --prune is given. Passwords that no file has stay as
they are too. The form is that of "samara export", and of a nodes.conf.`,
		Example: `  samara apply -f site.yaml --dry-run
  samara apply -f /srv/site -m 'GPUs in rack 3'
  samara export | sed s/rocky-9/rocky-10/ | samara apply -f -`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.apply(c, files, o, prune, yes)
		},
	}
	files.add(c)
	pruneFlag(c, &prune)
	confirmFlag(c, &yes)
	changeFlags(c, &o)
	return c
}

func newPlan(g *global) *cobra.Command {
	var files documentFlags
	var prune bool
	c := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Say what apply would change, and what that needs",
		Long: `Say what "samara apply" with the same files would change, field by field, and what becomes of nodes through
their profiles. Nodes that change alike stand together. Each field says what a node that runs needs for it: a
reboot, a refresh of its overlays, or nothing. Nothing is changed.`,
		Example: `  samara plan -f site.yaml
  samara plan -f site.yaml -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.apply(c, files, api.ChangeOptions{DryRun: true}, prune, true)
		},
	}
	files.add(c)
	pruneFlag(c, &prune)
	return c
}

func pruneFlag(c *cobra.Command, prune *bool) {
	c.Flags().BoolVar(prune, "prune", false, "delete the nodes, profiles and networks that the files leave out, each kind only if they have some of it")
}

// apply makes the configuration what files say.
func (g *global) apply(c *cobra.Command, files documentFlags, o api.ChangeOptions, prune, yes bool) error {
	if err := g.checkOutput(false); err != nil {
		return err
	}
	d, err := files.read(c)
	if err != nil {
		return faulty(c.ErrOrStderr(), err)
	}
	t := transaction{edit: d.Edit(), where: d.Where}
	if prune {
		if err := t.prune(c.Context(), g); err != nil {
			return err
		}
		if n := len(t.edit.Deletes); n > 0 && !o.DryRun {
			if err := g.confirm(c, yes, "delete "+refs(t.edit.Deletes)); err != nil {
				return err
			}
		}
	}
	return g.ask(c.Context(), func(ctx context.Context, client *api.Client) error {
		ch, err := t.make(ctx, client, o)
		if err != nil {
			return err
		}
		return g.print(c.OutOrStdout(), view{data: ch, text: func(w io.Writer) error {
			if o.DryRun {
				return writePlan(w, ch)
			}
			return writeChange(w, ch)
		}})
	})
}

// A transaction is a change of the configuration that files ask for.
type transaction struct {
	edit  fleet.Edit
	same  []fleet.Condition // without which it would undo what others did
	where func(kind, name, path string) (config.Position, bool)
}

// prune adds to t the deletion of what the cluster has and t does not, of the kinds that t has.
func (t *transaction) prune(ctx context.Context, g *global) error {
	return g.ask(ctx, func(ctx context.Context, client *api.Client) error {
		now, err := client.Configuration(ctx, 0)
		if err != nil {
			return err
		}
		t.same = append(t.same, api.IfRevision(now.Revision))
		put, kinds := map[fleet.Ref]bool{}, map[string]bool{}
		for _, o := range t.edit.Puts {
			put[o.Ref()], kinds[o.Ref().Kind] = true, true
		}
		for _, r := range refsOf(now) {
			if kinds[r.Kind] && !put[r] {
				t.edit.Deletes = append(t.edit.Deletes, r)
			}
		}
		return nil
	})
}

// refsOf names all that a configuration has and that can be deleted.
func refsOf(all api.Configuration) []fleet.Ref {
	return slices.Concat(
		mapped(all.Networks, func(n fleet.Network) fleet.Ref { return fleet.Ref{Kind: fleet.ObjectNetwork, Name: n.Name} }),
		mapped(all.Profiles, func(p fleet.Profile) fleet.Ref { return fleet.Ref{Kind: fleet.ObjectProfile, Name: p.Name} }),
		mapped(all.Nodes, func(n fleet.Node) fleet.Ref { return fleet.Ref{Kind: fleet.ObjectNode, Name: n.Name} }))
}

// refs writes names of objects, folded by kind.
func refs(all []fleet.Ref) string {
	var kinds []string
	names := map[string][]string{}
	for _, r := range all {
		if names[r.Kind] == nil {
			kinds = append(kinds, r.Kind)
		}
		names[r.Kind] = append(names[r.Kind], r.Name)
	}
	return strings.Join(mapped(kinds, func(kind string) string { return kind + " " + namesOf(kind, names[kind]) }), ", ")
}

// namesOf writes names of objects of one kind, those of nodes as ranges.
func namesOf(kind string, names []string) string {
	if kind == fleet.ObjectNode {
		return hostlist.Fold(names)
	}
	return strings.Join(names, ",")
}

// make asks for the change. A refusal says where in the files its reason stands.
func (t transaction) make(ctx context.Context, client *api.Client, o api.ChangeOptions) (api.Change, error) {
	if len(t.edit.Puts)+len(t.edit.Deletes) == 0 {
		return api.Change{DryRun: o.DryRun, Changed: []api.Difference{}}, nil
	}
	o.If = slices.Concat(o.If, t.same)
	ch, err := client.Edit(ctx, t.edit, o)
	if err != nil {
		return api.Change{}, t.placed(err)
	}
	return ch, nil
}

// placed says where in the files the object stands that a refusal names first, and of its fields the one whose value the
// refusal quotes.
func (t transaction) placed(err error) error {
	if t.where == nil || !fleet.IsRefusal(err) {
		return err
	}
	text := err.Error()
	first, named := len(text), fleet.Object{}
	for _, o := range t.edit.Puts {
		if at := strings.Index(text, o.Ref().String()+": "); at >= 0 && at < first {
			first, named = at, o
		}
	}
	r := named.Ref()
	if r.Kind == "" {
		return err
	}
	rest := text[first+len(r.String()):]
	if at, ok := t.where(r.Kind, r.Name, quotedField(named, rest)); ok {
		return fmt.Errorf("%s: %w", at, err)
	}
	return err
}
