package fleet

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// SourceNode is the Source of what a node says itself. No profile can have this name.
const SourceNode = "node"

// A Provenance is one thing that holds for a node, and who says it.
type Provenance struct {
	Field      string    `json:"field"`                // the path, such as "interfaces.default.netmask"
	Value      string    `json:"value"`                // as text; of a list, one word
	Source     string    `json:"source"`               // the profile that says it, or SourceNode
	Superseded []Setting `json:"superseded,omitempty"` // what it took the place of, from the latest on
}

// A Setting is what one source says.
type Setting struct {
	Value  string `json:"value"`
	Source string `json:"source"`
}

// Why returns all that holds for the node with that name and where it comes from, in the order of the table of fields.
// Each word of a list is a Provenance of its own, in the order of the list; then come the "~word" of the list, and what
// they took away. Secrets are not shown. The error is ErrNotFound if there is no such node.
func (s State) Why(name string) ([]Provenance, error) {
	n, ok := s.Node(name)
	if !ok {
		return nil, fmt.Errorf("node %s: %w", name, ErrNotFound)
	}
	sayings := map[string][]saying{}
	hear := func(source string, settings *Settings) {
		settings.say(func(_ *Field, path, value string, words []string) {
			sayings[path] = append(sayings[path], saying{source, value, words})
		})
	}
	var all Settings
	for _, profile := range s.profileOrder(n.Profiles) {
		p, _ := s.Profile(profile)
		all.lay(&p.Settings)
		hear(profile, &p.Settings)
	}
	all.lay(&n.Settings)
	hear(SourceNode, &n.Settings)
	var out []Provenance
	own := func(_ *Field, path, value string, _ []string) {
		out = append(out, Provenance{Field: path, Value: value, Source: SourceNode})
	}
	for _, a := range settingsOfNode.above {
		a.say(&n, "", own)
	}
	all.say(func(f *Field, path, _ string, words []string) {
		if words != nil {
			out = appendWords(out, f, path, sayings[path])
			return
		}
		out = append(out, provenance(path, sayings[path]))
	})
	for _, a := range settingsOfNode.below {
		a.say(&n, "", own)
	}
	return out, nil
}

// A saying is what one source says of one field.
type saying struct {
	source string
	value  string
	words  []string // of a list
}

// provenance returns that of one value: the last holds.
func provenance(path string, said []saying) Provenance {
	last := said[len(said)-1]
	p := Provenance{Field: path, Value: last.value, Source: last.source}
	for _, earlier := range slices.Backward(said[:len(said)-1]) {
		p.Superseded = append(p.Superseded, Setting{earlier.value, earlier.source})
	}
	return p
}

// appendWords appends the provenance of a list's words, and of what takes words away.
func appendWords(out []Provenance, f *Field, path string, said []saying) []Provenance {
	removals := f.Kind == KindList && f.negatable
	gone := map[string]bool{}
	for _, one := range said {
		for _, w := range one.words {
			gone[w] = gone[w] || removals && isNegation(w)
		}
	}
	var taken []Provenance
	for _, one := range said {
		for _, w := range one.words {
			switch {
			case gone[w]:
				taken = append(taken, Provenance{Field: path, Value: w, Source: one.source})
			case gone["~"+w]:
			default:
				out = append(out, Provenance{Field: path, Value: w, Source: one.source})
			}
		}
	}
	for at := range taken {
		for _, one := range slices.Backward(said) {
			for _, w := range slices.Backward(one.words) {
				if "~"+w == taken[at].Value && !gone[w] {
					taken[at].Superseded = append(taken[at].Superseded, Setting{w, one.source})
				}
			}
		}
	}
	return append(out, taken...)
}

// say tells all that s says, in the order of the table.
func (s *Settings) say(tell teller) {
	for i := range settingsTable {
		settingsTable[i].say(s, "", tell)
	}
}

// Values yields the paths of all that n says itself and the values as text, in the order of the table of fields. A list is
// one value. Secrets are not shown.
func (n Node) Values() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		more := true
		tell := func(_ *Field, path, value string, _ []string) { more = more && yield(path, value) }
		for _, a := range settingsOfNode.above {
			a.say(&n, "", tell)
		}
		n.Settings.say(tell)
		for _, a := range settingsOfNode.below {
			a.say(&n, "", tell)
		}
	}
}

// Values yields what p says, as Node.Values does.
func (p Profile) Values() iter.Seq2[string, string] {
	return Node{Comment: p.Comment, Profiles: p.Profiles, Settings: p.Settings}.Values()
}

// FieldOf returns the row of the table of fields for a path that Values or Why gave; false if there is none.
func FieldOf(path string) (Field, bool) {
	names := splitPath(path)
	for _, f := range Fields() {
		pattern := strings.Split(f.Path, ".")
		if len(names) < len(pattern) || len(names) > len(pattern) && f.Kind != KindValue {
			continue
		}
		matches := func(i int) bool { return pattern[i] == "*" || pattern[i] == names[i] }
		same := true
		for i := range pattern {
			same = same && matches(i)
		}
		if same {
			return f, true
		}
	}
	return Field{}, false
}

// splitPath cuts a path at its dots, but for those in quotes.
func splitPath(path string) []string {
	var names []string
	quoted := false
	from := 0
	for at := 0; at < len(path); at++ {
		switch {
		case quoted && path[at] == '\\':
			at++
		case path[at] == '"':
			quoted = !quoted
		case path[at] == '.' && !quoted:
			names = append(names, path[from:at])
			from = at + 1
		}
	}
	return append(names, path[from:])
}
