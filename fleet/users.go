package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet/hostlist"
)

// Keys of the index of users are: the profile's name, 0, the name of a node that names the profile itself, with "~"
// before it or without.

func userPrefix(profile string) []byte { return append([]byte(profile), 0) }

func userKey(profile, node string) []byte { return append(userPrefix(profile), node...) }

// indexUser records which profiles n names.
func (s State) indexUser(n Node) State {
	for _, p := range n.Profiles {
		s.users = s.users.put(userKey(strings.TrimPrefix(p, "~"), n.Name), n.Name)
	}
	return s
}

// dropUser undoes what indexUser did.
func (s State) dropUser(n Node) State {
	for _, p := range n.Profiles {
		s.users = s.users.drop(userKey(strings.TrimPrefix(p, "~"), n.Name))
	}
	return s
}

// UsersOf returns the names of the nodes that a change of profiles may change: those that name one of them, or another
// that brings one of them. They are in order.
func (s State) UsersOf(profiles ...string) []string {
	reached := map[string]bool{}
	for _, p := range profiles {
		reached[p] = true
	}
	for more := true; more; {
		more = false
		for p := range s.profiles.all() {
			if !reached[p.Name] && slices.ContainsFunc(p.Profiles, func(name string) bool { return reached[strings.TrimPrefix(name, "~")] }) {
				reached[p.Name], more = true, true
			}
		}
	}
	nodes := map[string]bool{}
	for profile := range reached {
		for node := range s.users.under(userPrefix(profile)) {
			nodes[node] = true
		}
	}
	return slices.Sorted(maps.Keys(nodes))
}

// checkUnused reports who names a profile.
func (s State) checkUnused(profile string) error {
	var users []string
	if nodes := slices.Collect(s.users.under(userPrefix(profile))); len(nodes) > 0 {
		users = append(users, foldSome("node", nodes))
	}
	var parents []string
	for p := range s.profiles.all() {
		if slices.Contains(p.Profiles, profile) || slices.Contains(p.Profiles, "~"+profile) {
			parents = append(parents, p.Name)
		}
	}
	if len(parents) > 0 {
		users = append(users, foldSome("profile", parents))
	}
	if len(users) > 0 {
		return fmt.Errorf("profile %s: %w by %s; take it out of their profiles first", profile, ErrInUse, strings.Join(users, " and "))
	}
	return nil
}

// nameUsers names nodes in a refusal, as all replicas do at the format of s.
func (s State) nameUsers(nodes []string) string {
	if s.Format() < 4 {
		return nameSome(nodes)
	}
	return foldSome("node", nodes)
}

// maxNamed is how many names a message holds at most, beyond what folds into ranges.
const maxNamed = 10

// foldSome names objects of one kind in a message: "node n1" or "nodes n[1-9],x2", and how many more there are.
func foldSome(kind string, names []string) string {
	if len(names) == 1 {
		return kind + " " + names[0]
	}
	if folded := hostlist.Fold(names); len(folded) <= 100 {
		return kind + "s " + folded
	}
	sorted := slices.SortedFunc(slices.Values(names), hostlist.Compare)
	if len(sorted) <= maxNamed {
		return kind + "s " + strings.Join(sorted, ",")
	}
	return fmt.Sprintf("%ss %s and %d more", kind, hostlist.Fold(sorted[:maxNamed]), len(sorted)-maxNamed)
}

// checkProfiles reports which of the profiles that an object names do not exist.
func (s State) checkProfiles(kind, name string, profiles []string) error {
	for _, p := range profiles {
		p = strings.TrimPrefix(p, "~")
		if _, ok := s.Profile(p); !ok {
			return fmt.Errorf("%s %s: profile %q: %w; samara profile list shows them", kind, name, p, ErrNotFound)
		}
	}
	return nil
}

// checkCycle reports the way on which a profile brings itself.
func (s State) checkCycle(name string) error {
	seen := map[string]bool{}
	var way []string
	var walk func(of string) bool
	walk = func(of string) bool {
		way = append(way, of)
		p, _ := s.Profile(of)
		for _, next := range p.Profiles {
			if next == name {
				return true
			}
			if !isNegation(next) && !seen[next] {
				seen[next] = true
				if walk(next) {
					return true
				}
			}
		}
		way = way[:len(way)-1]
		return false
	}
	if walk(name) {
		return fmt.Errorf("%w profile %s: it brings itself: %s brings %s; take one out of the profiles of another", ErrInvalid, name, strings.Join(way, " brings "), name)
	}
	return nil
}
