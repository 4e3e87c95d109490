package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// A schema is what may stand in each section. It is made from fleet.Fields and the JSON names of the types, so that a
// field that is new there is read and written here.
type schema struct {
	node, profile, network, cluster *group
}

// A group is the keys of one mapping.
type group struct {
	slots []*slot          // as they are written, in order
	keys  map[string]*slot // those and their other names, by normalKey
	rest  *rest            // the keys that users choose; nil if there are none
}

// A slot is one key.
type slot struct {
	name string // as it is written
	// One of these is set, or none if the object cannot have it.
	group *group
	leaf  *leaf
}

// A leaf is a field, and where it is in the Go value that its group belongs to.
type leaf struct {
	field fleet.Field
	index []int
	codec codec
}

// A rest is the keys that users choose: those of a map, or the names of the parts of a slice.
type rest struct {
	index []int
	leaf  *leaf // of a map: how its values are read; the index is not used

	part  reflect.Type // of a slice
	key   []int        // where the name is in a part
	group *group       // what a part holds
}

// newSchema returns the schema of this release.
func newSchema() (schema, error) {
	var s schema
	for _, of := range []struct {
		group  **group
		object reflect.Type
		fields []fleet.Field
	}{
		{&s.node, reflect.TypeFor[fleet.Node](), fleet.Fields()},
		{&s.profile, reflect.TypeFor[fleet.Profile](), fleet.Fields()},
		{&s.network, reflect.TypeFor[fleet.Network](), fieldsOf(reflect.TypeFor[fleet.Network](), "")},
		{&s.cluster, reflect.TypeFor[fleet.ClusterSettings](), fieldsOf(reflect.TypeFor[fleet.ClusterSettings](), "")},
	} {
		g, err := newGroup(of.fields, of.object)
		if err != nil {
			return schema{}, fmt.Errorf("fields of %s: %w", of.object, err)
		}
		*of.group = g
	}
	return s, nil
}

// fieldsOf returns a table of the fields of a type that fleet.Fields does not know: its names in JSON.
func fieldsOf(t reflect.Type, above string) []fleet.Field {
	var fields []fleet.Field
	for _, f := range reflect.VisibleFields(t) {
		name := jsonName(f)
		if name == "" || name == "name" || name == "revision" {
			continue
		}
		if _, err := codecOf(f.Type); err != nil && f.Type.Kind() == reflect.Struct {
			fields = append(fields, fieldsOf(f.Type, above+name+".")...)
			continue
		}
		fields = append(fields, fleet.Field{Path: above + name})
	}
	return fields
}

// jsonName returns the name of a field in JSON; "" if it has none of its own.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// newGroup returns the keys of an object with fields.
func newGroup(fields []fleet.Field, object reflect.Type) (*group, error) {
	g := &group{}
	paths := make([][][]string, len(fields))
	for i, f := range fields {
		paths[i] = cutNames(f.Path)
	}
	for _, written := range []bool{true, false} { // all names that are written, and only then those that are read too
		for i, f := range fields {
			b := builder{paths: paths, field: f, refused: f.NodeOnly && object == reflect.TypeFor[fleet.Profile](), hidden: !written}
			names := paths[i]
			if f.Warewulf != "" {
				names = cutNames(f.Warewulf)
			}
			if len(names) != len(paths[i]) {
				return nil, fmt.Errorf("field %s: its other name %s has not as many names that users choose", f.Path, f.Warewulf)
			}
			if err := b.insert(g, object, names, paths[i], 0); err != nil {
				return nil, fmt.Errorf("field %s: %w", f.Path, err)
			}
		}
	}
	return g, nil
}

// cutNames cuts a path where users choose names, and then at its dots.
func cutNames(path string) [][]string {
	var cut [][]string
	for part := range strings.SplitSeq(path, "*") {
		part = strings.Trim(part, ".")
		if part == "" {
			cut = append(cut, nil)
			continue
		}
		cut = append(cut, strings.Split(part, "."))
	}
	return cut
}

// A builder puts one field into groups.
type builder struct {
	paths   [][][]string // of all fields
	field   fleet.Field
	refused bool // the object cannot have it
	hidden  bool // only names that are read and not written are put
}

// insert puts the field into g, whose keys are those of object: of path, what begins at part.
func (b builder) insert(g *group, object reflect.Type, names, path [][]string, part int) error {
	last := part == len(path)-1
	if last && len(path[part]) == 0 {
		return nil // the value of a map, which its rest knows
	}
	name, other := names[part], path[part]
	if b.hidden && len(name) != len(other) {
		name = other
	}
	var index []int
	var at reflect.Type
	if !b.refused || !last {
		var err error
		if index, at, err = locate(object, other); err != nil {
			return err
		}
	}
	for i, key := range name {
		keys := []string{key}
		if len(name) == len(other) {
			keys = append(keys, other[i])
		}
		s, err := g.slot(keys, b.hidden)
		if err != nil {
			return err
		}
		if i == len(name)-1 && last {
			return b.place(s, index, at)
		}
		if s.group == nil {
			s.group = &group{}
		}
		g = s.group
	}
	if g.rest == nil {
		r, err := b.newRest(index, at, path, part)
		if err != nil {
			return err
		}
		g.rest = r
	}
	if g.rest.group == nil {
		return nil
	}
	return b.insert(g.rest.group, g.rest.part, names, path, part+1)
}

// slot returns the slot with the first of keys, which has the others too.
func (g *group) slot(keys []string, hidden bool) (*slot, error) {
	s, known := g.keys[normalKey(keys[0])]
	if !known {
		s = &slot{name: keys[0]}
		if !hidden {
			g.slots = append(g.slots, s)
		}
	}
	if g.keys == nil {
		g.keys = map[string]*slot{}
	}
	for _, key := range keys {
		if other, taken := g.keys[normalKey(key)]; taken && other != s {
			return nil, fmt.Errorf("key %q means something else already", key)
		}
		g.keys[normalKey(key)] = s
	}
	return s, nil
}

// same returns a name of the slot that a key is for, or the key if there is none.
func (g *group) same(key string) string {
	if s, known := g.keys[normalKey(key)]; known {
		return s.name
	}
	return key
}

// normalKey returns what is alike for a key and its other spellings.
func normalKey(key string) string { return strings.ReplaceAll(key, " ", "_") }

// place makes s the field's.
func (b builder) place(s *slot, index []int, at reflect.Type) error {
	if b.refused || s.leaf != nil {
		return nil
	}
	c, err := codecOf(at)
	if err != nil {
		return err
	}
	s.leaf = &leaf{field: b.field, index: index, codec: c}
	return nil
}

// newRest returns the rest of the group whose names stand at path[part], for a map or a slice that is at index.
func (b builder) newRest(index []int, at reflect.Type, path [][]string, part int) (*rest, error) {
	switch at.Kind() {
	case reflect.Map:
		c, err := codecOf(at.Elem())
		return &rest{index: index, leaf: &leaf{field: b.field, codec: c}}, err
	case reflect.Slice:
		key, err := b.keyOf(at.Elem(), path[:part+1])
		return &rest{index: index, part: at.Elem(), key: key, group: &group{}}, err
	}
	return nil, fmt.Errorf("%s has no names that users choose", at)
}

// keyOf returns which field of a part is its name: the one text that the table of fields does not have.
func (b builder) keyOf(part reflect.Type, above [][]string) ([]int, error) {
	known := map[string]bool{}
	for _, path := range b.paths {
		if n := len(above); len(path) > n && len(path[n]) > 0 && slices.EqualFunc(path[:n], above, slices.Equal) {
			known[path[n][0]] = true
		}
	}
	var found [][]int
	for _, f := range reflect.VisibleFields(part) {
		if f.Type.Kind() == reflect.String && !known[jsonName(f)] {
			found = append(found, f.Index)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%s has %d fields that could be its name, want one", part, len(found))
	}
	return found[0], nil
}

// locate returns where in a type the value is that has a path in JSON.
func locate(t reflect.Type, path []string) ([]int, reflect.Type, error) {
	var index []int
	for _, name := range path {
		f, ok := fieldNamed(t, name)
		if !ok {
			return nil, nil, fmt.Errorf("%s has no field %s", t, name)
		}
		index = append(index, f.Index...)
		t = f.Type
	}
	return index, t, nil
}

// fieldNamed returns the field of a struct with a name in JSON, be it one of an embedded struct.
func fieldNamed(t reflect.Type, name string) (reflect.StructField, bool) {
	if t.Kind() != reflect.Struct {
		return reflect.StructField{}, false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if jsonName(f) == name {
			return f, true
		}
		if f.Anonymous {
			if inner, ok := fieldNamed(f.Type, name); ok {
				inner.Index = append([]int{i}, inner.Index...)
				return inner, true
			}
		}
	}
	return reflect.StructField{}, false
}
