package warewulf

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// A trial is a state in which nothing is but what is admitted: whatever it refuses, the cluster would refuse too. Images
// are not looked for; whether there are any is known when documents are applied.
type trial struct {
	*reader
	state fleet.State
}

func newTrial(r *reader) (*trial, error) {
	key := make(fleet.Secret, 32)
	cluster := fleet.Cluster{Name: "trial", ID: "trial", CA: key, CAKey: key, MeshKey: key, TokenKey: key, IDKey: key, Format: fleet.Format,
		Controllers: []fleet.Controller{{ID: "trial", Address: loopback, Ports: fleet.DefaultPorts}}}
	t := &trial{reader: r}
	return t, t.apply(fleet.InitCluster{Cluster: cluster})
}

func (t *trial) apply(c fleet.Command) error {
	next, err := t.state.Apply(fleet.Entry{Command: c}, t.state.Revision()+1)
	if err == nil {
		t.state = next
	}
	return err
}

func (t *trial) put(o fleet.Object) error {
	if o.Node != nil {
		n := *o.Node
		n.Image = fleet.ImageRef{}
		o.Node = &n
	}
	if o.Profile != nil {
		p := *o.Profile
		p.Image = fleet.ImageRef{}
		o.Profile = &p
	}
	return t.apply(fleet.Edit{Puts: []fleet.Object{o}})
}

// networks returns the networks that are not refused.
func (t *trial) networks(all []fleet.Network) []fleet.Network {
	return slices.DeleteFunc(all, func(n fleet.Network) bool {
		err := t.put(fleet.Object{Network: &n})
		if err != nil {
			of := ref{fleet.ObjectNetwork, n.Name}
			t.notebook.note(Left, t.files[of], t.places[place{of, ""}], ref{}, "network", reason(err), "samara network add "+n.Name)
		}
		return err != nil
	})
}

// profiles returns the profiles, without those of their parts that are refused. Profiles of a profile come before it.
func (t *trial) profiles() []fleet.Profile {
	for _, o := range t.order(t.allProfiles()) {
		t.admit(o, func(o *object) fleet.Object { p := o.profile(); return fleet.Object{Profile: &p} })
	}
	var all []fleet.Profile
	for _, o := range sorted(t.reader.profiles) {
		all = append(all, o.profile())
	}
	return all
}

// nodes returns the nodes, without those of their parts that are refused.
func (t *trial) nodes() []fleet.Node {
	var all []fleet.Node
	for _, o := range t.allNodes() {
		if t.admit(o, func(o *object) fleet.Object { n := o.node(); return fleet.Object{Node: &n} }) {
			all = append(all, o.node())
		}
	}
	return all
}

// admit puts an object into the trial's state. If it is refused, it is made of those of its parts that are not; false if
// even its name and profiles are refused.
func (t *trial) admit(o *object, of func(*object) fleet.Object) bool {
	if t.put(of(o)) == nil {
		return true
	}
	whole := o.Settings
	o.Settings = fleet.Settings{}
	err := t.put(of(o))
	var fields any
	if err == nil {
		fields, err = decoded(whole)
	}
	if err != nil {
		t.note(Left, o.line, o.ref, o.kind, reason(err), "add it by hand")
		return false
	}
	t.accept(o, "", fields, func(part any) error {
		s, err := encoded(part)
		if err == nil {
			o.Settings = s
			err = t.put(of(o))
		}
		return err
	})
	return true
}

// accept returns as much of a value as is not refused, where try puts it, or other values, into its place; false for
// nothing. After it, what it returns is in its place.
func (t *trial) accept(o *object, path string, v any, try func(any) error) (any, bool) {
	err := try(v)
	if err == nil {
		return v, true
	}
	switch v := v.(type) {
	case []any:
		kept := []any{}
		for _, item := range v {
			got, ok := t.accept(o, path+nameOf(item), item, func(part any) error { return try(append(slices.Clone(kept), part)) })
			if ok {
				kept = append(kept, got)
			}
		}
		return kept, try(kept) == nil && len(kept) > 0
	case map[string]any:
		if strings.HasPrefix(path, "resources.") {
			break // a value as a whole
		}
		kept := map[string]any{}
		for _, key := range identifying {
			if name, ok := v[key].(string); ok && path != "" {
				kept[key] = name
				err = try(kept)
				break
			}
		}
		if len(kept) > 0 && err != nil {
			break // it cannot even be called so
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if kept[key] != nil {
				continue
			}
			got, ok := t.accept(o, strings.TrimPrefix(path+"."+pathKey(key), "."), v[key], func(part any) error {
				next := maps.Clone(kept)
				next[key] = part
				return try(next)
			})
			if ok {
				kept[key] = got
			}
		}
		return kept, try(kept) == nil && len(kept) > 0
	}
	t.note(Left, t.lineOf(o, path), o.ref, path, reason(err), "put it right, and import again")
	return nil, false
}

// lineOf returns where a file says a field, or what it is a part of.
func (r *reader) lineOf(o *object, path string) int {
	for at := len(path); at > 0; at = strings.LastIndexByte(path[:at], '.') {
		if line, ok := r.places[place{o.ref, path[:at]}]; ok {
			return line
		}
	}
	return o.line
}

// identifying are the fields by which parts of an object are told apart.
var identifying = []string{"name", "device", "label"}

// nameOf returns the part of a path by which an item of a list is found.
func nameOf(item any) string {
	if m, ok := item.(map[string]any); ok {
		for _, key := range identifying {
			if name, ok := m[key].(string); ok {
				return "." + pathKey(name)
			}
		}
	}
	return ""
}

// decoded returns settings as JSON has them, and encoded the reverse.
func decoded(s fleet.Settings) (any, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	err = d.Decode(&v)
	return v, err
}

func encoded(v any) (fleet.Settings, error) {
	var s fleet.Settings
	b, err := json.Marshal(v)
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(b, &s)
	return s, err
}

// reason returns why something is refused, in one line.
func reason(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	if len(text) > 400 {
		text = strings.ToValidUTF8(text[:400], "") + "…"
	}
	return "refused: " + text
}
