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

// differences lists how the objects that c names differ between two states.
func differences(before, after fleet.State, c fleet.Command) []Difference {
	switch c := c.(type) {
	case fleet.AddNodes:
		names := make([]string, len(c.Nodes))
		for i, n := range c.Nodes {
			names[i] = n.Name
		}
		return compareAll("node", names, publicNodes(before), publicNodes(after))
	case fleet.SetNodes:
		return compareAll("node", c.Names, publicNodes(before), publicNodes(after))
	case fleet.DeleteNodes:
		return compareAll("node", c.Names, publicNodes(before), publicNodes(after))
	case fleet.ArmDiscovery:
		return compareAll("node", c.Names, publicNodes(before), publicNodes(after))
	case fleet.PutNetwork:
		return compareAll("network", []string{c.Network.Name}, before.Network, after.Network)
	case fleet.DeleteNetwork:
		return compareAll("network", []string{c.Name}, before.Network, after.Network)
	case fleet.DeleteImage:
		return []Difference{{Kind: "image", Name: fleet.ImageRef{Name: c.Image, Version: c.Version}.String(), Action: "delete"}}
	case fleet.SetCluster:
		return compareClusters(before, after)
	case fleet.RemoveController:
		return compareControllers(before, after)
	}
	return []Difference{}
}

// changesBetween lists how all objects differ between two states, whatever lies between them. An object that has kept
// its revision has not changed, and is not looked into.
func changesBetween(before, after fleet.State) []Difference {
	out := compareClusters(before, after)
	out = append(out, compareControllers(before, after)...)
	names := changedNames(before.Networks(), after.Networks(), func(n fleet.Network) (string, fleet.Revision) { return n.Name, n.Revision })
	out = append(out, compareAll("network", names, before.Network, after.Network)...)
	names = changedNames(before.Images(), after.Images(), func(i fleet.Image) (string, fleet.Revision) { return i.Name, i.Revision })
	for _, name := range names {
		out = append(out, compareVersions(name, before, after)...)
	}
	names = changedNames(before.Nodes(), after.Nodes(), func(n fleet.Node) (string, fleet.Revision) { return n.Name, n.Revision })
	return append(out, compareAll("node", names, publicNodes(before), publicNodes(after))...)
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

// publicNodes returns a function that returns nodes of s without their secrets.
func publicNodes(s fleet.State) func(name string) (fleet.Node, bool) {
	return func(name string) (fleet.Node, bool) {
		n, ok := s.Node(name)
		return n.WithoutSecrets(), ok
	}
}

// compareClusters compares what people may see of the cluster, without its controllers.
func compareClusters(before, after fleet.State) []Difference {
	one := func(s fleet.State) func(string) (ClusterView, bool) {
		return func(string) (ClusterView, bool) {
			c, ok := s.Cluster()
			c.Controllers = nil
			return viewCluster(c), ok
		}
	}
	was, _ := before.Cluster()
	is, ok := after.Cluster()
	if was.Revision == is.Revision {
		return []Difference{}
	}
	name := is.Name
	if !ok {
		name = was.Name
	}
	return compareAll("cluster", []string{name}, one(before), one(after))
}

// compareControllers compares the controllers of the cluster.
func compareControllers(before, after fleet.State) []Difference {
	was, _ := before.Cluster()
	is, _ := after.Cluster()
	if was.Revision == is.Revision {
		return []Difference{}
	}
	var ids []string
	for _, c := range slices.Concat(was.Controllers, is.Controllers) {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	one := func(c fleet.Cluster) func(string) (fleet.Controller, bool) {
		return func(id string) (fleet.Controller, bool) {
			ctl, ok := c.Controller(id)
			ctl.ID = "" // the name of the difference says it
			return ctl, ok
		}
	}
	return compareAll("controller", slices.Compact(ids), one(was), one(is))
}

// compareVersions compares the versions of one image. An image that is gone is one difference.
func compareVersions(image string, before, after fleet.State) []Difference {
	was, _ := before.Image(image)
	is, left := after.Image(image)
	if !left {
		return []Difference{{Kind: "image", Name: image, Action: "delete"}}
	}
	var refs []string
	for _, v := range slices.Concat(was.Versions, is.Versions) {
		ref := fleet.ImageRef{Name: image, Version: v.Number}.String()
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	one := func(s fleet.State) func(string) (fleet.ImageVersion, bool) {
		return func(text string) (fleet.ImageVersion, bool) {
			ref, err := fleet.ParseImageRef(text)
			if err != nil {
				return fleet.ImageVersion{}, false
			}
			_, v, err := s.ImageVersion(ref)
			return v, err == nil
		}
	}
	return compareAll("image", refs, one(before), one(after))
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
