package config

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/internal/config/yaml"
)

// pairs yields the keys of a mapping and their values, those of "<<" after its own, which they give way to. A key that
// comes twice is a fault, be it that same says that two are one.
func (p *parse) pairs(n *yaml.Node, same func(key string) string) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		seen := make(map[string]*yaml.Node, len(n.Items)/2)
		var merged []*yaml.Node
		for i := 0; i < len(n.Items); i += 2 {
			key, value := n.Items[i], n.Items[i+1]
			if key.IsMerge() {
				merged = append(merged, p.merges(value)...)
				continue
			}
			if first, again := seen[same(key.Text)]; again {
				p.fault(key, fmt.Sprintf("key %s says what %s in line %d says already; say it once", describe(key), describe(first), first.Line), "")
				continue
			}
			seen[same(key.Text)] = key
			if !yield(key, value) {
				return
			}
		}
		p.mergedPairs(merged, same, seen, yield)
	}
}

// mergedPairs yields the pairs of mappings whose keys are not in seen.
func (p *parse) mergedPairs(mappings []*yaml.Node, same func(key string) string, seen map[string]*yaml.Node, yield func(key, value *yaml.Node) bool) {
	for len(mappings) > 0 {
		n := mappings[0]
		mappings = mappings[1:]
		var above []*yaml.Node
		for i := 0; i < len(n.Items); i += 2 {
			key, value := n.Items[i], n.Items[i+1]
			if key.IsMerge() {
				above = append(above, p.merges(value)...)
				continue
			}
			if _, again := seen[same(key.Text)]; again {
				continue
			}
			seen[same(key.Text)] = key
			if !yield(key, value) {
				return
			}
		}
		mappings = append(above, mappings...)
	}
}

// exactly is for pairs whose keys are the same only if they are alike.
func exactly(key string) string { return key }

// merges returns the mappings that a value of "<<" names.
func (p *parse) merges(value *yaml.Node) []*yaml.Node {
	of := []*yaml.Node{value}
	if value.Kind == yaml.Sequence {
		of = value.Items
	}
	for _, n := range of {
		if n.Kind != yaml.Mapping {
			p.fault(n, fmt.Sprintf("%s where << wants a mapping, or a list of mappings", describe(n)), "")
			return nil
		}
	}
	return slices.Clone(of)
}

// readGroup reads a mapping into the object that the group belongs to.
func (p *parse) readGroup(g *group, n *yaml.Node, object reflect.Value) {
	if !p.wantMapping(n) {
		return
	}
	for key, value := range p.pairs(n, g.same) {
		if p.faults.full() {
			return
		}
		s, known := g.keys[normalKey(key.Text)]
		switch {
		case known:
			p.readSlot(s, key, value, object)
		case g.rest != nil:
			p.readRest(g.rest, key, value, object)
		default:
			p.unknown(g, key)
		}
	}
	if g.rest != nil && g.rest.part != nil {
		g.rest.sort(object)
	}
}

func (p *parse) wantMapping(n *yaml.Node) bool {
	if n.Kind != yaml.Mapping && !n.IsNull() {
		p.fault(n, fmt.Sprintf("%s where a mapping is wanted", describe(n)), "")
	}
	return n.Kind == yaml.Mapping
}

// readSlot reads the value of a key.
func (p *parse) readSlot(s *slot, key, value *yaml.Node, object reflect.Value) {
	defer p.step(key.Text)()
	switch {
	case s.group != nil:
		p.readGroup(s.group, value, object)
	case s.leaf == nil:
		p.fault(key, "a profile cannot have it, each node has its own", "")
	default:
		p.readLeaf(s.leaf, key, value, object.FieldByIndex(s.leaf.index))
	}
}

// readLeaf reads one field into v.
func (p *parse) readLeaf(l *leaf, key, value *yaml.Node, v reflect.Value) {
	if !v.IsZero() { // such as by kernel_version and by kernel: {version: …}
		p.fault(key, "another key says this already; say it once", "")
		return
	}
	p.mark(l.field.Path, key)
	if value.IsNull() || value.Kind == yaml.Scalar && value.Text == "" && !l.codec.empties {
		return
	}
	if err := l.codec.read(value, v); err != nil {
		p.fault(value, err.Error(), "")
	}
}

// readRest reads what a user gave a name to.
func (p *parse) readRest(r *rest, key, value *yaml.Node, object reflect.Value) {
	defer p.step(key.Text)()
	p.names = append(p.names, key.Text)
	defer func() { p.names = p.names[:len(p.names)-1] }()
	if key.Text == "" {
		p.fault(key, "a name is wanted here", "")
		return
	}
	at := object.FieldByIndex(r.index)
	if r.part != nil {
		part := reflect.New(r.part).Elem()
		part.FieldByIndex(r.key).SetString(key.Text)
		p.readGroup(r.group, value, part)
		at.Set(reflect.Append(at, part))
		return
	}
	if at.IsNil() {
		at.Set(reflect.MakeMap(at.Type()))
	}
	p.mark(r.leaf.field.Path, key)
	v := reflect.New(at.Type().Elem()).Elem()
	if err := r.leaf.codec.read(value, v); err != nil {
		p.fault(value, err.Error(), "")
		return
	}
	at.SetMapIndex(reflect.ValueOf(key.Text), v)
}

// parts returns the parts of a slice in the order of their names.
func (r *rest) parts(of reflect.Value) []reflect.Value {
	parts := make([]reflect.Value, of.Len())
	for i := range parts {
		parts[i] = of.Index(i)
	}
	slices.SortStableFunc(parts, func(a, b reflect.Value) int { return strings.Compare(r.nameOf(a), r.nameOf(b)) })
	return parts
}

func (r *rest) nameOf(part reflect.Value) string { return part.FieldByIndex(r.key).String() }

// sort puts the parts of an object into the order of their names.
func (r *rest) sort(object reflect.Value) {
	at := object.FieldByIndex(r.index)
	if at.Len() > 1 {
		at.Set(reflect.Append(reflect.MakeSlice(at.Type(), 0, at.Len()), r.parts(at)...))
	}
}

// step adds a key to the trail, and returns what takes it away again.
func (p *parse) step(key string) func() {
	p.trail = append(p.trail, key)
	return func() { p.trail = p.trail[:len(p.trail)-1] }
}

// fault adds one at a node, or of the file as a whole.
func (p *parse) fault(at *yaml.Node, what, meant string) {
	if p.silent {
		return
	}
	trail := make([]string, len(p.trail))
	for i, key := range p.trail {
		trail[i] = shorten(key)
	}
	f := Fault{Position: Position{File: p.files[p.file].Name}, Field: strings.Join(trail, "."), What: what, Meant: meant, file: p.file}
	if at != nil {
		f.Position = p.position(at)
	}
	p.faults.add(f)
}

func (p *parse) position(n *yaml.Node) Position {
	return Position{p.files[p.file].Name, int(n.Line), int(n.Column)}
}

// unknown says that a key is none of a group.
func (p *parse) unknown(g *group, key *yaml.Node) {
	if normalKey(key.Text) == "ipxe_template" {
		p.fault(key, "Samara writes boot scripts itself; leave the key out", "")
		return
	}
	p.fault(key, fmt.Sprintf("unknown key %s", describe(key)), p.schema.suggest(p.trail[0], g, key.Text))
}
