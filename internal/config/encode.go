package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// Encode writes d as one document that Parse reads back: objects and names in order, keys as fleet.Fields has them. What
// d says it writes, but for secrets that are set, at whose place a comment stands. The form is stable: equal Documents
// give equal bytes.
func Encode(w io.Writer, d Documents) error {
	s, err := newSchema()
	if err != nil {
		return err
	}
	d.Nodes, d.Profiles, d.Networks = slices.Clone(d.Nodes), slices.Clone(d.Profiles), slices.Clone(d.Networks)
	d.sort()
	e := &encoder{}
	e.section("nodeprofiles", len(d.Profiles), func(i int) {
		e.object(d.Profiles[i].Name, s.profile, reflect.ValueOf(&d.Profiles[i]).Elem())
	})
	e.section("nodes", len(d.Nodes), func(i int) { e.object(d.Nodes[i].Name, s.node, reflect.ValueOf(&d.Nodes[i]).Elem()) })
	e.section("networks", len(d.Networks), func(i int) {
		e.object(d.Networks[i].Name, s.network, reflect.ValueOf(&d.Networks[i]).Elem())
	})
	if d.Cluster != nil {
		e.object("cluster", s.cluster, reflect.ValueOf(d.Cluster).Elem())
	}
	if e.Len() == 0 {
		e.line("nodes: {}")
	}
	_, err = w.Write(e.Bytes())
	return err
}

// An encoder writes lines of YAML.
type encoder struct {
	bytes.Buffer
	depth int
}

func (e *encoder) line(text string) {
	for range e.depth {
		e.WriteString("  ")
	}
	e.WriteString(text)
	e.WriteByte('\n')
}

// section writes objects below a key, if there are any.
func (e *encoder) section(name string, n int, object func(i int)) {
	if n == 0 {
		return
	}
	e.line(name + ":")
	e.depth++
	for i := range n {
		object(i)
	}
	e.depth--
}

// object writes what a name stands for, be it nothing.
func (e *encoder) object(name string, g *group, object reflect.Value) {
	if !e.below(quote(name)+":", func() { e.group(g, object) }) {
		e.line(quote(name) + ": {}")
	}
}

// below writes a line and what belongs to it. If that is nothing it writes neither and returns false.
func (e *encoder) below(line string, write func()) bool {
	before := e.Len()
	e.line(line)
	body := e.Len()
	e.depth++
	write()
	e.depth--
	if e.Len() == body {
		e.Truncate(before)
		return false
	}
	return true
}

// group writes the keys of a group.
func (e *encoder) group(g *group, object reflect.Value) {
	for _, s := range g.slots {
		switch {
		case s.group != nil:
			e.below(quote(s.name)+":", func() { e.group(s.group, object) })
		case s.leaf != nil:
			e.leaf(s, object.FieldByIndex(s.leaf.index))
		}
	}
	if g.rest != nil {
		e.rest(g.rest, object.FieldByIndex(g.rest.index))
	}
}

// leaf writes a field, if it says anything.
func (e *encoder) leaf(s *slot, v reflect.Value) {
	key := quote(s.name) + ":"
	c := s.leaf.codec
	switch {
	case v.IsZero():
	case c.list != nil:
		e.below(key, func() {
			for _, item := range c.list(v) {
				e.line("- " + item)
			}
		})
	case s.leaf.field.Secret && v.Len() > 0:
		e.line(fmt.Sprintf("# %s is set; it is not shown", s.name))
	default:
		e.line(key + " " + c.text(v))
	}
}

// rest writes what has names that users chose.
func (e *encoder) rest(r *rest, v reflect.Value) {
	if r.part != nil {
		for _, part := range r.parts(v) {
			e.object(r.nameOf(part), r.group, part)
		}
		return
	}
	if resources, ok := v.Interface().(map[string]fleet.Resource); ok {
		for _, name := range slices.Sorted(maps.Keys(resources)) {
			e.value(quote(name)+":", decodeJSON(string(resources[name])))
		}
		return
	}
	names := v.MapKeys()
	slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, name := range names {
		e.line(quote(name.String()) + ": " + r.leaf.codec.text(v.MapIndex(name)))
	}
}

// value writes a value of JSON after lead, which is a key with its colon or the dash of an item.
func (e *encoder) value(lead string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			e.line(lead + " {}")
			return
		}
		e.nested(lead, func() {
			for _, key := range slices.Sorted(maps.Keys(v)) {
				e.value(quote(key)+":", v[key])
			}
		})
	case []any:
		if len(v) == 0 {
			e.line(lead + " []")
			return
		}
		e.nested(lead, func() {
			for _, item := range v {
				e.value("-", item)
			}
		})
	case string:
		e.line(lead + " " + quote(v))
	case nil:
		e.line(lead + " null")
	default:
		e.line(fmt.Sprintf("%s %v", lead, v)) // a bool or a json.Number
	}
}

// nested writes the lines of a collection below lead; the first of an item's stands behind its dash.
func (e *encoder) nested(lead string, write func()) {
	before := e.Len()
	e.line(lead)
	body := e.Len()
	e.depth++
	write()
	e.depth--
	if lead == "-" {
		indent := 2 * (e.depth + 1)
		rest := append([]byte(nil), e.Bytes()[body+indent:]...)
		e.Truncate(before + 2*e.depth)
		e.WriteString("- ")
		e.Write(rest)
	}
}

// decodeJSON returns the value of a resource, its numbers as they are written.
func decodeJSON(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil // there is no such Resource but a conversion from a string
	}
	return v
}
