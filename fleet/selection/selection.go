// Package selection reads what people write to choose nodes of a cluster: names and ranges, racks and groups, conditions on
// fields, and exceptions.
//
// A selection is items between commas:
//
//	n1  n[001-100]      nodes by name, as package hostlist reads them
//	@rack3              the nodes of a rack or of a rollout group; @all is all nodes
//	&profile=gpu        only those that use the profile, by itself or through another; &profile!=gpu, only those that do not
//	&tags.role=login    only those of which a field, with what profiles say, has that value
//	!n7  !@rack3        but not these
//
// The items of the first two kinds are added up; where there are none, it is all nodes. Each condition leaves those for
// which it holds, and each exception takes away, wherever it stands. A selection of no nodes is an error.
package selection

import (
	"fmt"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
)

// maxText bounds a selection as text, in bytes.
const maxText = 256 << 10

// all is the rack that every node is in.
const all = "all"

// A Selection says which nodes of a cluster are meant.
type Selection struct {
	text    string
	from    []source // what is added up; none is all nodes
	only    []condition
	without []source
}

// A source stands for nodes: names, or a rack or group.
type source struct {
	names []string // nil for a rack or group
	place string
}

// A condition is on a field of a node.
type condition struct {
	field string // the path of the field, or profileField
	value string
	not   bool
}

const profileField = "profile"

// A Cluster is what is chosen from.
type Cluster struct {
	Nodes    []fleet.Node    // with what their profiles say, by name
	Profiles []fleet.Profile // as written
}

// Parse reads a selection. Its error wraps hostlist.ErrSyntax, or fleet.ErrInvalid for what cannot be the name of a node.
func Parse(text string) (Selection, error) {
	s := Selection{text: text}
	if len(text) > maxText {
		return s, fmt.Errorf("%w: %d bytes, at most %d", hostlist.ErrSyntax, len(text), maxText)
	}
	if !strings.ContainsAny(text, "@&!") {
		names, err := expand(text)
		s.from = []source{{names: names}}
		return s, err
	}
	for _, item := range cut(text) {
		if err := s.add(item); err != nil {
			return s, err
		}
	}
	return s, nil
}

// cut cuts a selection at the commas outside brackets.
func cut(text string) []string {
	var items []string
	depth, from := 0, 0
	for at, c := range text {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == ',' && depth <= 0:
			items = append(items, text[from:at])
			from = at + 1
		}
	}
	return append(items, text[from:])
}

// add reads one item.
func (s *Selection) add(item string) error {
	switch {
	case item == "":
		return s.errorf("an item is missing; remove the comma")
	case item[0] == '&':
		c, err := s.condition(item)
		s.only = append(s.only, c)
		return err
	case item[0] == '!':
		one, err := s.source(item[1:])
		s.without = append(s.without, one)
		return err
	}
	one, err := s.source(item)
	s.from = append(s.from, one)
	return err
}

func (s *Selection) source(item string) (source, error) {
	if place, is := strings.CutPrefix(item, "@"); is {
		if place == "" || strings.ContainsAny(place, "@&![]") {
			return source{}, s.errorf("%q: want the name of a rack or group after @, and a comma before the next item", item)
		}
		return source{place: place}, nil
	}
	if strings.ContainsAny(item, "@&!") {
		return source{}, s.errorf("%q: put a comma before @, & and !, which begin an item", item)
	}
	names, err := expand(item)
	return source{names: names}, err
}

// condition reads &FIELD=VALUE or &FIELD!=VALUE.
func (s *Selection) condition(item string) (condition, error) {
	field, value, found := strings.Cut(item[1:], "=")
	field, not := strings.CutSuffix(field, "!")
	if !found || field == "" || value == "" {
		return condition{}, s.errorf("%q: want a condition such as &profile=gpu or &rack!=r1", item)
	}
	if field == profileField || field == "profiles" {
		return condition{profileField, value, not}, nil
	}
	path, ok := pathOf(field)
	if !ok {
		return condition{}, s.errorf("%q: %s is no field of a node", item, field)
	}
	return condition{path, value, not}, nil
}

// pathOf returns the path of a field that may have been called by its name in Warewulf.
func pathOf(field string) (string, bool) {
	if f, ok := fleet.FieldOf(field); ok {
		return field, !f.Secret
	}
	for _, f := range fleet.Fields() {
		if f.Warewulf == field && !strings.Contains(f.Path, "*") {
			return f.Path, !f.Secret
		}
	}
	return "", false
}

func expand(list string) ([]string, error) {
	names, err := hostlist.Expand(list)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if err := fleet.CheckName("node", n); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func (s *Selection) errorf(format string, args ...any) error {
	return fmt.Errorf("%w %.100q: %s", hostlist.ErrSyntax, s.text, fmt.Sprintf(format, args...))
}

// String returns s as it was written.
func (s Selection) String() string { return s.text }

// Names returns the names that s consists of, in their order. It is false if other nodes decide what s means, and then
// there are none. The error wraps hostlist.ErrSyntax: exceptions have left nothing.
func (s Selection) Names() ([]string, bool, error) {
	named := func(of []source) bool {
		return !slices.ContainsFunc(of, func(one source) bool { return one.names == nil })
	}
	if len(s.from) == 0 || len(s.only) > 0 || !named(s.from) || !named(s.without) {
		return nil, false, nil
	}
	gone := map[string]bool{}
	for _, one := range s.without {
		for _, name := range one.names {
			gone[name] = true
		}
	}
	var names []string
	for _, one := range s.from {
		for _, name := range one.names {
			if !gone[name] {
				gone[name] = true
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil, true, s.errorf("nothing is left of it")
	}
	return names, true, nil
}

// Of returns the names of the nodes that s chooses, at least one: in the order of s where that names them, else by name.
// The error is fleet.ErrNotFound if a node, a rack or a profile that s names does not exist, or if no node is left.
func (s Selection) Of(c Cluster) ([]string, error) {
	v := newView(c)
	from := s.from
	if len(from) == 0 {
		from = []source{{place: all}}
	}
	chosen, err := v.union(from)
	if err != nil {
		return nil, err
	}
	for _, condition := range s.only {
		holds, err := v.holds(condition)
		if err != nil {
			return nil, err
		}
		chosen = slices.DeleteFunc(chosen, func(name string) bool { return holds(v.nodes[name]) == condition.not })
	}
	without, err := v.union(s.without)
	if err != nil {
		return nil, err
	}
	gone := make(map[string]bool, len(without))
	for _, name := range without {
		gone[name] = true
	}
	chosen = slices.DeleteFunc(chosen, func(name string) bool { return gone[name] })
	if len(chosen) == 0 {
		return nil, fmt.Errorf("nodes %q: %w: there is no such node", s.text, fleet.ErrNotFound)
	}
	return chosen, nil
}
