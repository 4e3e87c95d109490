package warewulf

import (
	"fmt"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// A ref names an object of the site as this product does.
type ref struct{ kind, name string }

// A dictionary says for each name that the site has what the name here is. Warewulf hardly restricts names; here they
// are DNS labels.
type dictionary map[string]string

// A naming is what names of one kind may be here.
type naming struct {
	kind  string
	check func(s string) error
	inner string // what may stand between letters and digits
	upper bool
}

func labels(kind string) naming {
	return naming{kind, func(s string) error { return fleet.CheckLabel(kind, s) }, "-_.", true}
}

func names(kind string) naming {
	return naming{kind, func(s string) error { return fleet.CheckName(kind, s) }, "-", false}
}

func profileNamesOf() naming {
	n := labels("profile")
	n.check = func(s string) error {
		if s == fleet.SourceNode {
			return fleet.ErrInvalid
		}
		return fleet.CheckLabel("profile", s)
	}
	return n
}

// newDictionary returns a dictionary of names of one kind. A name that can stand as it is does; any other gets the nearest
// one that is free, so that no two become one.
func newDictionary(n naming, all []string) dictionary {
	all = slices.Clone(all)
	slices.Sort(all)
	all = slices.Compact(all)
	d := dictionary{}
	taken := map[string]bool{}
	first := map[string]int{} // how many names have that label before their first dot
	for _, was := range all {
		if n.check(was) == nil {
			d[was], taken[was] = was, true
		}
		label, _, _ := strings.Cut(was, ".")
		first[label]++
	}
	for _, was := range all {
		if d[was] != "" {
			continue
		}
		want := was
		if label, _, dotted := strings.Cut(was, "."); n.kind == "node" && dotted && first[label] == 1 && label != "" {
			want = label
		}
		want = n.nearest(want)
		to := want
		for i := 2; taken[to] || n.check(to) != nil; i++ {
			suffix := fmt.Sprintf("-%d", i)
			to = want[:min(len(want), maxName-len(suffix))] + suffix
		}
		d[was], taken[to] = to, true
	}
	return d
}

// maxName is what fleet.CheckName and fleet.CheckLabel allow.
const maxName = 63

// nearest returns what is left of s in a name.
func (n naming) nearest(s string) string {
	var b []byte
	if !n.upper {
		s = strings.ToLower(s)
	}
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(n.inner, r):
			b = append(b, byte(r))
		case len(b) > 0 && b[len(b)-1] != '-':
			b = append(b, '-')
		}
	}
	name := strings.TrimLeft(string(b), n.inner)
	name = strings.TrimRight(name[:min(len(name), maxName)], n.inner)
	if name == "" {
		return n.kind
	}
	return name
}
