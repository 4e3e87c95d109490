package selection

import (
	"fmt"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
)

// A view is a cluster in which names are looked up.
type view struct {
	nodes    map[string]*fleet.Node
	names    []string // in order
	profiles map[string]*fleet.Profile
	users    map[string]map[string]bool // by a list of profiles, with blanks between: the profiles that it stands for
}

func newView(c Cluster) *view {
	v := &view{nodes: make(map[string]*fleet.Node, len(c.Nodes)), names: make([]string, 0, len(c.Nodes)),
		profiles: make(map[string]*fleet.Profile, len(c.Profiles)), users: map[string]map[string]bool{}}
	for i := range c.Nodes {
		v.nodes[c.Nodes[i].Name] = &c.Nodes[i]
		v.names = append(v.names, c.Nodes[i].Name)
	}
	slices.SortFunc(v.names, hostlist.Compare)
	for i := range c.Profiles {
		v.profiles[c.Profiles[i].Name] = &c.Profiles[i]
	}
	return v
}

// union returns the nodes that sources stand for, each once.
func (v *view) union(of []source) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, one := range of {
		names := one.names
		if names == nil {
			names = v.in(one.place)
			if len(names) == 0 && one.place != all {
				return nil, fmt.Errorf("@%s: %w: no node is in a rack or group of that name", one.place, fleet.ErrNotFound)
			}
		}
		for _, name := range names {
			if v.nodes[name] == nil {
				return nil, fmt.Errorf("node %s: %w", name, fleet.ErrNotFound)
			}
			if !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		}
	}
	return out, nil
}

// in returns the nodes of a rack or group, by name.
func (v *view) in(place string) []string {
	var out []string
	for _, name := range v.names {
		if n := v.nodes[name]; place == all || n.Rack == place || n.Group == place {
			out = append(out, name)
		}
	}
	return out
}

// holds returns whether a condition holds of a node, were it not negated.
func (v *view) holds(c condition) (func(*fleet.Node) bool, error) {
	if c.field == profileField {
		if v.profiles[c.value] == nil {
			return nil, fmt.Errorf("profile %s: %w", c.value, fleet.ErrNotFound)
		}
		return func(n *fleet.Node) bool { return v.uses(n.Profiles)[c.value] }, nil
	}
	return func(n *fleet.Node) bool {
		for path, value := range n.Values() {
			if path == c.field {
				return value == c.value
			}
		}
		return false
	}, nil
}

// uses returns the profiles that a list stands for: those in it and those that they bring, but for those that "~" takes
// away.
func (v *view) uses(list []string) map[string]bool {
	key := strings.Join(list, " ")
	if known, ok := v.users[key]; ok {
		return known
	}
	seen, dropped := map[string]bool{}, []string{}
	var walk func(list []string)
	walk = func(list []string) {
		for _, name := range list {
			if gone, negated := strings.CutPrefix(name, "~"); negated {
				dropped = append(dropped, gone)
			} else if p := v.profiles[name]; p != nil && !seen[name] {
				seen[name] = true
				walk(p.Profiles)
			}
		}
	}
	walk(list)
	for _, name := range dropped {
		delete(seen, name)
	}
	v.users[key] = seen
	return seen
}
