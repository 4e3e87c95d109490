package fleet

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Resolve returns the node with that name as its profiles and itself say it is to be. Its Profiles are as written. The
// error is ErrNotFound if there is no such node.
//
// The profiles of a node are laid one over another, those that come later over those before, and the node's own
// settings over them all. A profile's own profiles come right before it; each profile counts once, at its first place;
// and "~p", wherever it stands, takes p away, but not what p brought. Of what is one value, the last that says something
// holds. Lists are appended, and then "~word" takes away each equal word. Interfaces, disks, partitions, filesystems,
// tags and resources are laid over those of the same name.
func (s State) Resolve(name string) (Node, error) {
	n, ok := s.nodes.get([]byte(name))
	if !ok {
		return Node{}, fmt.Errorf("node %s: %w", name, ErrNotFound)
	}
	return s.resolver()(n), nil
}

// ResolveAll yields all nodes as Resolve returns them, by name. Nodes with the same profiles share what these say.
func (s State) ResolveAll() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		resolve := s.resolver()
		for n := range s.nodes.all() {
			if !yield(resolve(n)) {
				return
			}
		}
	}
}

// ResolveProfile returns the settings that a node has that names this profile alone, and says nothing itself. The error
// is ErrNotFound if there is no such profile.
func (s State) ResolveProfile(name string) (Settings, error) {
	if _, ok := s.Profile(name); !ok {
		return Settings{}, fmt.Errorf("profile %s: %w", name, ErrNotFound)
	}
	all := s.layProfiles([]string{name})
	all.settle()
	return all, nil
}

// RackOf returns the rack of a node of s, as Resolve does, at less cost.
func (s State) RackOf(n Node) string {
	return saidLast(s, n, func(s *Settings) string { return s.Rack })
}

// ImageOf returns the image of a node of s, as Resolve does, at less cost.
func (s State) ImageOf(n Node) ImageRef {
	return saidLast(s, n, func(s *Settings) ImageRef { return s.Image })
}

// SeedingOf returns how a node of s gives images on: as the cluster says, but for a limit that the node or its profiles set.
func (s State) SeedingOf(n Node) Seeding {
	all := s.settings().Seeding
	if limit := saidLast(s, n, func(s *Settings) int64 { return s.UploadLimit }); limit != 0 {
		all.NodeUpload = limit
	}
	return all
}

// ReseedOf returns how long a node of s gives its image on, as Resolve does, at less cost.
func (s State) ReseedOf(n Node) Reseed {
	return saidLast(s, n, func(s *Settings) Reseed { return s.Reseed })
}

// saidLast returns the value of one field of a resolved node.
func saidLast[V comparable](s State, n Node, at func(*Settings) V) V {
	var none V
	if v := at(&n.Settings); v != none {
		return v
	}
	for _, name := range slices.Backward(s.profileOrder(n.Profiles)) {
		if p, _ := s.Profile(name); at(&p.Settings) != none {
			return at(&p.Settings)
		}
	}
	return none
}

func (s State) resolve(n Node) Node { return s.resolver()(&n) }

// resolver returns a function that resolves nodes of s. It remembers what profiles say together, and has one place to
// work in: it is for one goroutine.
func (s State) resolver() func(*Node) Node {
	known := map[string]Settings{}
	var work Node
	return func(n *Node) Node {
		work = *n
		if len(n.Profiles) == 0 {
			work.Settings.settle()
			return work
		}
		key := strings.Join(n.Profiles, ",")
		below, ok := known[key]
		if !ok {
			below = s.layProfiles(n.Profiles)
			known[key] = below
		}
		work.Settings = below
		work.Settings.lay(&n.Settings)
		work.Settings.settle()
		return work
	}
}

// layProfiles returns what profiles say together, with the words that take others away.
func (s State) layProfiles(profiles []string) Settings {
	var all Settings
	for _, name := range s.profileOrder(profiles) {
		p, _ := s.Profile(name) // one that is missing says nothing: a state does not let it come to that
		all.lay(&p.Settings)
	}
	return all
}

// profileOrder returns the names of the profiles that a list stands for, in the order in which they are laid.
func (s State) profileOrder(list []string) []string {
	seen := make(map[string]bool, 2*len(list))
	var order []string
	var walk func(list []string)
	walk = func(list []string) {
		for _, name := range list {
			switch {
			case isNegation(name):
				order = append(order, name)
			case !seen[name]:
				seen[name] = true
				p, _ := s.Profile(name)
				walk(p.Profiles)
				order = append(order, name)
			}
		}
	}
	walk(list)
	return withoutNegated(order)
}

// lay makes s say what over says, if that says anything. What s and over hold is shared, never modified.
func (s *Settings) lay(over *Settings) {
	for i := range settingsTable {
		settingsTable[i].lay(s, over)
	}
}

// settle takes the words out of lists that others take away.
func (s *Settings) settle() {
	for i := range settingsTable {
		if settle := settingsTable[i].settle; settle != nil {
			settle(s)
		}
	}
}

// Primary returns the interface that is the node's own: the one that PrimaryNetwork names, or else the first by name;
// false if there is none.
func (s Settings) Primary() (Interface, bool) {
	var first Interface
	found := false
	for _, i := range s.Interfaces {
		if i.Name == s.PrimaryNetwork {
			return i, true
		}
		if !found || i.Name < first.Name {
			first, found = i, true
		}
	}
	return first, found && s.PrimaryNetwork == ""
}
