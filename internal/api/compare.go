package api

import (
	"bytes"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// A comparer compares objects, for one goroutine. It remembers what changes of fields need: the table of fields is searched
// once for each.
type comparer struct {
	needs map[string]string // by path
	blind bool              // what nodes get from elsewhere: do not tell whether one secret is another

	was, is *[]said // buffers
}

func newComparer() comparer {
	return comparer{needs: map[string]string{}, was: new([]said), is: new([]said)}
}

// needsOf returns what makes a change of a field effective on a node that runs; "" if nothing is to be done.
func (c comparer) needsOf(path string) string {
	needs, known := c.needs[path]
	if !known {
		if f, ok := fleet.FieldOf(path); ok && f.Needs != fleet.NeedsNothing {
			needs = f.Needs.String()
		}
		c.needs[path] = needs
	}
	return needs
}

// settings compares what a node or a profile says.
func (c comparer) settings(was, is iter.Seq2[string, string], had, has fleet.Secret) []Field {
	a, b := c.different(was, is)
	if len(had) > 0 && len(has) > 0 && !bytes.Equal(had, has) {
		a[passwordPath], b[passwordPath] = had.String(), "(another secret)"
	}
	fields := between(a, b)
	for at := range fields {
		fields[at].Needs = c.needsOf(fields[at].Name)
	}
	return fields
}

// A said is a value at a path.
type said struct{ path, value string }

// different returns two sequences of values by paths as maps, without what both have at their beginning and their end: most
// changes are of a few fields, and maps of all would cost more than the rest of a comparison.
func (c comparer) different(was, is iter.Seq2[string, string]) (a, b map[string]string) {
	v, w := collect(c.was, was), collect(c.is, is)
	for len(v) > 0 && len(w) > 0 && v[0] == w[0] {
		v, w = v[1:], w[1:]
	}
	for len(v) > 0 && len(w) > 0 && v[len(v)-1] == w[len(w)-1] {
		v, w = v[:len(v)-1], w[:len(w)-1]
	}
	return mapOf(v), mapOf(w)
}

// collect puts a sequence into a buffer and returns it.
func collect(into *[]said, all iter.Seq2[string, string]) []said {
	*into = (*into)[:0]
	for path, value := range all {
		*into = append(*into, said{path, value})
	}
	return *into
}

func mapOf(all []said) map[string]string {
	m := make(map[string]string, len(all))
	for _, x := range all {
		m[x.path] = x.value
	}
	return m
}

func (c comparer) nodes(was, is *fleet.Node) []Field {
	if was == nil {
		was = new(fleet.Node)
	}
	return c.settings(was.Values(), is.Values(), was.BMC.Password, is.BMC.Password)
}

func (c comparer) profiles(was, is *fleet.Profile) []Field {
	if was == nil {
		was = new(fleet.Profile)
	}
	return c.settings(was.Values(), is.Values(), was.BMC.Password, is.BMC.Password)
}

// asJSON compares two objects by what JSON has of them. A revision always differs, and is left out, as is the name.
func asJSON[T any](was, is *T) []Field {
	a, b := flatten(was), flatten(is)
	for _, ignored := range []string{"revision", "name"} {
		delete(a, ignored)
		delete(b, ignored)
	}
	return between(a, b)
}

// between lists the fields that differ, by name.
func between(was, is map[string]string) []Field {
	all := maps.Clone(was)
	maps.Copy(all, is)
	var out []Field
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if was[name] != is[name] {
			out = append(out, Field{Name: name, Was: was[name], Is: is[name]})
		}
	}
	return out
}

// compareAll compares the objects with those names by fields, to which what was not there is nil. Those that are alike are
// left out. The result is never nil.
func compareAll[T any](kind string, names []string, before, after func(string) (T, bool), fields func(was, is *T) []Field) []Difference {
	out := []Difference{}
	for _, name := range names {
		was, had := before(name)
		is, has := after(name)
		switch {
		case !had && has:
			out = append(out, Difference{Kind: kind, Name: name, Action: "add", Fields: ofNew(fields(nil, &is))})
		case had && !has:
			out = append(out, Difference{Kind: kind, Name: name, Action: "delete"})
		case had && has:
			if f := fields(&was, &is); len(f) > 0 {
				out = append(out, Difference{Kind: kind, Name: name, Action: "set", Fields: f})
			}
		}
	}
	return out
}

// ofNew returns the fields of what is new: nothing runs yet for which anything had to be done.
func ofNew(fields []Field) []Field {
	for at := range fields {
		fields[at].Needs = ""
	}
	return fields
}

// changedNames returns the names of the objects that are in one sequence alone, or in both at different revisions. Both
// are in the order of names.
func changedNames[T any](before, after iter.Seq[T], key func(T) (string, fleet.Revision)) []string {
	var names []string
	next, stop := iter.Pull(before)
	defer stop()
	was, more := next()
	for is := range after {
		name, revision := key(is)
		for more {
			old, _ := key(was)
			if old >= name {
				break
			}
			names = append(names, old) // deleted
			was, more = next()
		}
		same := false
		if more {
			if old, at := key(was); old == name {
				same = at == revision
				was, more = next()
			}
		}
		if !same {
			names = append(names, name)
		}
	}
	for ; more; was, more = next() {
		old, _ := key(was)
		names = append(names, old)
	}
	return names
}

// flatten returns the fields of v as JSON has them, each as one line of text: "interfaces.default.mac" for a list of
// objects with names, "dns" with blanks between for a list of words. Nil has none.
func flatten(v any) map[string]string {
	out := map[string]string{}
	b, err := json.Marshal(v)
	if err != nil {
		return out // the state's own objects always encode
	}
	var tree any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return out
	}
	flattenInto(out, "", tree)
	return out
}

func flattenInto(out map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, field := range v {
			flattenInto(out, strings.TrimPrefix(path+"."+key, "."), field)
		}
	case []any:
		var words []string
		for _, item := range v {
			object, ok := item.(map[string]any)
			if !ok {
				words = append(words, word(item))
				continue
			}
			name := word(object["name"])
			delete(object, "name")
			flattenInto(out, path+"."+name, object)
		}
		if len(words) > 0 {
			out[path] = strings.Join(words, " ")
		}
	case nil:
	default:
		out[path] = word(v)
	}
}

func word(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}
