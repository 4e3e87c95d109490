package api

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// An Effect is what a change makes of nodes that their own words do not tell: what their profiles say is otherwise now.
type Effect struct {
	Nodes  []string `json:"nodes"`  // by name; all of them change alike
	Fields []Field  `json:"fields"` // with what profiles say, before and after
}

// effects returns what becomes of the nodes that use profiles which changed, or other profiles than before. changed is
// what differs in what was written. Nodes for which that says it all are left out.
func (c comparer) effects(before, after fleet.State, changed []Difference) []Effect {
	told := map[string][]Field{} // of nodes, by name
	profiles := map[string]bool{}
	other := map[string]bool{} // nodes that may become other than they say themselves
	for _, d := range changed {
		switch d.Kind {
		case "profile":
			profiles[d.Name] = true
		case "node":
			told[d.Name] = d.Fields
			if slices.ContainsFunc(d.Fields, func(f Field) bool { return f.Name == "profiles" }) {
				other[d.Name] = true
			}
		}
	}
	for _, state := range []fleet.State{before, after} {
		for _, name := range state.UsersOf(slices.Collect(maps.Keys(profiles))...) {
			other[name] = true
		}
	}
	if len(other) == 0 {
		return nil
	}
	var out []Effect
	alike := map[string]int{} // where in out, by what changes
	for was, is := range pairs(before.ResolveAll(), after.ResolveAll()) {
		if !other[is.Name] {
			continue
		}
		if c.blind && len(was.BMC.Password) > 0 && len(is.BMC.Password) > 0 {
			is.BMC.Password = was.BMC.Password
		}
		fields := c.nodes(&was, &is)
		if len(fields) == 0 || slices.Equal(fields, told[is.Name]) {
			continue
		}
		key := keyOf(fields)
		at, known := alike[key]
		if !known {
			at = len(out)
			alike[key] = at
			out = append(out, Effect{Fields: fields})
		}
		out[at].Nodes = append(out[at].Nodes, is.Name)
	}
	return out
}

// keyOf returns a text that is equal for equal fields.
func keyOf(fields []Field) string {
	var b strings.Builder
	for _, f := range fields {
		for _, part := range []string{f.Name, f.Was, f.Is} {
			b.WriteString(part)
			b.WriteByte(0) // no value holds one
		}
	}
	return b.String()
}

// pairs yields the nodes that are in both sequences, which are in the order of names.
func pairs(before, after iter.Seq[fleet.Node]) iter.Seq2[fleet.Node, fleet.Node] {
	return func(yield func(was, is fleet.Node) bool) {
		next, stop := iter.Pull(before)
		defer stop()
		was, more := next()
		for is := range after {
			for more && was.Name < is.Name {
				was, more = next()
			}
			if more && was.Name == is.Name && !yield(was, is) {
				return
			}
		}
	}
}
