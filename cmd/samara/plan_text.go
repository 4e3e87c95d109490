package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
	"github.com/samara-hpc/samara/internal/api"
)

// A block is objects that differ alike.
type block struct {
	kind, action string
	names        []string
	fields       []api.Field
}

// blocks gathers differences that are alike. Objects that differ in their own addresses alone are one block if they are
// new, or many; its fields then have the first and the last of their values.
func blocks(changed []api.Difference) []block {
	own := ownFields{}
	var shapes []string
	alike := map[string][]api.Difference{}
	for _, d := range changed {
		key := d.Kind + "\x00" + d.Action + "\x00" + own.shape(d)
		if alike[key] == nil {
			shapes = append(shapes, key)
		}
		alike[key] = append(alike[key], d)
	}
	var out []block
	for _, key := range shapes {
		all := alike[key]
		same := gathered(all)
		if few := map[bool]int{true: 1, false: maxAlike}[all[0].Action == "add"]; len(same) > few {
			same = []block{spread(all, own)}
		}
		out = append(out, same...)
	}
	return out
}

// gathered returns a block for each group of differences that are equal but for the name.
func gathered(all []api.Difference) []block {
	var out []block
	at := map[string]int{}
	for _, d := range all {
		key := fmt.Sprintf("%q", d.Fields)
		i, known := at[key]
		if !known {
			i = len(out)
			at[key] = i
			out = append(out, block{kind: d.Kind, action: d.Action, fields: d.Fields})
		}
		out[i].names = append(out[i].names, d.Name)
	}
	return out
}

// spread returns one block of differences that are alike but for each object's own fields.
func spread(all []api.Difference, own ownFields) block {
	first, last := ends(all)
	b := block{kind: first.Kind, action: first.Action, fields: slices.Clone(first.Fields), names: mapped(all, func(d api.Difference) string { return d.Name })}
	for i, f := range b.fields {
		if own.has(f.Name) {
			b.fields[i].Was, b.fields[i].Is = fromTo(f.Was, last.Fields[i].Was), fromTo(f.Is, last.Fields[i].Is)
		}
	}
	return b
}

// ends returns the first and the last of several differences, by name as people count.
func ends(all []api.Difference) (first, last api.Difference) {
	byName := func(a, b api.Difference) int { return hostlist.Compare(a.Name, b.Name) }
	return slices.MinFunc(all, byName), slices.MaxFunc(all, byName)
}

// writeBlocks prints what differs, field by field, and what becomes of nodes through profiles.
func writeBlocks(w io.Writer, changed []api.Difference, effects []api.Effect) error {
	all := blocks(changed)
	for _, e := range untold(changed, effects) {
		all = append(all, block{kind: fleet.ObjectNode, action: "by profiles", names: e.Nodes, fields: e.Fields})
	}
	for _, b := range all {
		head := b.action + " " + strings.TrimSpace(b.kind+" "+namesOf(b.kind, b.names))
		if b.action == "by profiles" {
			head = b.kind + " " + namesOf(b.kind, b.names) + ", by profiles"
		}
		if _, err := fmt.Fprintln(w, printable(head)); err != nil {
			return err
		}
		if b.action == "delete" {
			continue
		}
		var t table
		for _, f := range b.fields {
			t.add("    "+f.Name, difference(f)+needed(b, f)) // not a column of its own: values may be long
		}
		if err := t.write(w); err != nil {
			return err
		}
	}
	return nil
}

// A toldField is a field of a node of which it has been told how it changes.
type toldField struct {
	node  string
	field api.Field
}

// A told is all such fields.
type told map[toldField]bool

// untold returns effects without what changed says already, and without those of which that leaves nothing.
func untold(changed []api.Difference, effects []api.Effect) []api.Effect {
	t := toldOf(changed)
	var rest []api.Effect
	for _, e := range effects {
		if e.Fields = t.without(e); len(e.Fields) > 0 {
			rest = append(rest, e)
		}
	}
	return rest
}

// toldOf returns the fields of nodes that differ in what these say themselves.
func toldOf(changed []api.Difference) told {
	t := told{}
	for _, d := range changed {
		if d.Kind != fleet.ObjectNode {
			continue
		}
		for _, f := range d.Fields {
			t[toldField{d.Name, f}] = true
		}
	}
	return t
}

// without returns the fields of an effect that are not told already of all its nodes.
func (t told) without(e api.Effect) []api.Field {
	return slices.DeleteFunc(slices.Clone(e.Fields), func(f api.Field) bool {
		return !slices.ContainsFunc(e.Nodes, func(node string) bool { return !t[toldField{node, f}] })
	})
}

// difference writes one field before and after.
func difference(f api.Field) string {
	switch {
	case f.Was == "":
		return f.Is
	case f.Is == "":
		return f.Was + " -> nothing"
	}
	return f.Was + " -> " + f.Is
}

// needed writes what a field needs on nodes that run. What is new does not run.
func needed(b block, f api.Field) string {
	if b.action == "add" || f.Needs == "" {
		return ""
	}
	return "  (" + f.Needs + ")"
}

// writePlan prints what a change would do.
func writePlan(w io.Writer, ch api.Change) error {
	if len(ch.Changed)+len(ch.Effects) == 0 {
		_, err := fmt.Fprintln(w, "nothing to change")
		return err
	}
	if err := writeBlocks(w, ch.Changed, ch.Effects); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nplan at revision %d: %s\n", ch.Revision, counted(ch.Changed))
	reboot, refresh := wanting(ch)
	for _, need := range []struct {
		what  string
		nodes []string
	}{{"a reboot", reboot}, {"a refresh", refresh}} {
		if len(need.nodes) > 0 {
			fmt.Fprintf(&b, "to take effect on nodes that run, %s of %s\n", need.what, hostlist.Fold(need.nodes))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// counted writes how many objects of each kind change, and how: "add 3 nodes, set 1 profile".
func counted(changed []api.Difference) string {
	var parts []string
	for _, action := range []string{"add", "set", "delete"} {
		for _, kind := range []string{fleet.ObjectCluster, fleet.ObjectNetwork, fleet.ObjectProfile, fleet.ObjectNode} {
			n := 0
			for _, d := range changed {
				if d.Action == action && d.Kind == kind {
					n++
				}
			}
			switch {
			case n > 0 && kind == fleet.ObjectCluster:
				parts = append(parts, action+" the cluster")
			case n == 1:
				parts = append(parts, fmt.Sprintf("%s 1 %s", action, kind))
			case n > 1:
				parts = append(parts, fmt.Sprintf("%s %d %ss", action, n, kind))
			}
		}
	}
	return strings.Join(parts, ", ")
}

// wanting returns the nodes that need a reboot for a change to hold on them, and of the others those that need a refresh.
func wanting(ch api.Change) (reboot, refresh []string) {
	all := map[string]fleet.Needs{}
	add := func(node string, fields []api.Field) {
		for _, f := range fields {
			switch f.Needs {
			case fleet.NeedsReboot.String():
				all[node] = fleet.NeedsReboot
			case fleet.NeedsRefresh.String():
				all[node] = max(all[node], fleet.NeedsRefresh)
			}
		}
	}
	for _, d := range ch.Changed {
		if d.Kind == fleet.ObjectNode && d.Action == "set" {
			add(d.Name, d.Fields)
		}
	}
	for _, e := range ch.Effects {
		for _, node := range e.Nodes {
			add(node, e.Fields)
		}
	}
	for node, need := range all {
		if need == fleet.NeedsReboot {
			reboot = append(reboot, node)
		} else {
			refresh = append(refresh, node)
		}
	}
	slices.Sort(reboot)
	slices.Sort(refresh)
	return reboot, refresh
}
