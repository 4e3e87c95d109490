package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// differences lists how the objects that c names differ between two states.
func differences(before, after fleet.State, c fleet.Command) []Difference {
	switch c := c.(type) {
	case fleet.AddNodes:
		names := make([]string, len(c.Nodes))
		for i, n := range c.Nodes {
			names[i] = n.Name
		}
		return compareAll("node", names, before.Node, after.Node)
	case fleet.SetNodes:
		return compareAll("node", c.Names, before.Node, after.Node)
	case fleet.DeleteNodes:
		return compareAll("node", c.Names, before.Node, after.Node)
	case fleet.PutNetwork:
		return compareAll("network", []string{c.Network.Name}, before.Network, after.Network)
	case fleet.DeleteNetwork:
		return compareAll("network", []string{c.Name}, before.Network, after.Network)
	case fleet.DeleteImage:
		return []Difference{{Kind: "image", Name: fleet.ImageRef{Name: c.Image, Version: c.Version}.String(), Action: "delete"}}
	case fleet.SetCluster:
		one := func(s fleet.State) func(string) (ClusterView, bool) {
			return func(string) (ClusterView, bool) {
				cluster, ok := s.Cluster()
				return viewCluster(cluster), ok
			}
		}
		cluster, _ := after.Cluster()
		return compareAll("cluster", []string{cluster.Name}, one(before), one(after))
	}
	return []Difference{}
}

// compareAll compares the objects with those names. Those that are alike are left out. The result is never nil.
func compareAll[T any](kind string, names []string, before, after func(string) (T, bool)) []Difference {
	out := []Difference{}
	for _, name := range names {
		was, had := before(name)
		is, has := after(name)
		switch {
		case !had && has:
			out = append(out, Difference{Kind: kind, Name: name, Action: "add", Fields: compare(nil, is)})
		case had && !has:
			out = append(out, Difference{Kind: kind, Name: name, Action: "delete"})
		case had && has:
			if fields := compare(was, is); len(fields) > 0 {
				out = append(out, Difference{Kind: kind, Name: name, Action: "set", Fields: fields})
			}
		}
	}
	return out
}

// compare lists the fields in which two objects differ, by name. A revision always does, and is left out.
func compare(was, is any) []Field {
	a, b := flatten(was), flatten(is)
	all := maps.Clone(a)
	maps.Copy(all, b)
	var out []Field
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if a[name] != b[name] && name != "revision" && name != "name" {
			out = append(out, Field{Name: name, Was: a[name], Is: b[name]})
		}
	}
	return out
}

// flatten returns the fields of v as JSON has them, each as one line of text: "interfaces.default.mac" for a list of
// objects with names, "dns" with blanks between for a list of words.
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
