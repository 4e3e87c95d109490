package warewulf

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// A wordList is one of the lists that profiles and nodes add up.
type wordList struct {
	field, path string
	at          func(*object) *[]string
	replaces    func(*object) bool
}

var wordLists = []wordList{
	{"kernel.args", "kernel_args", func(o *object) *[]string { return &o.KernelArgs }, func(o *object) bool { return o.old.kernelArgs }},
	{"system overlay", "system_overlays", func(o *object) *[]string { return &o.SystemOverlays }, func(o *object) bool { return o.old.systemOverlays }},
	{"runtime overlay", "runtime_overlays", func(o *object) *[]string { return &o.RuntimeOverlays }, func(o *object) bool { return o.old.runtimeOverlays }},
}

// settleLists keeps what lists mean. Of a release in which a node's list took the place of those of its profiles, words
// are added that take away what the profiles would now add. In all others, what a list only says again is taken out of it:
// Warewulf's export and import doubles lists in that way.
func (r *reader) settleLists() {
	nodes := r.allNodes()
	for _, l := range wordLists {
		for _, o := range nodes {
			if before, now := r.before(l, r.below(o), o), r.now(l, r.below(o), o); before != nil {
				r.keep(l, o, before, now)
			}
		}
	}
	for _, o := range slices.Concat(sorted(r.profiles), nodes) {
		for _, l := range wordLists {
			if !l.replaces(o) {
				r.dropAgain(l, o)
			}
		}
		r.dropResourcesAgain(o, r.below(o))
	}
}

// before returns the list that a node had in a release in which lists replace one another; nil if none of those that
// count for it does, or if it is the only one.
func (r *reader) before(l wordList, profiles []*object, o *object) []string {
	var list []string
	replaced := false
	for _, from := range append(slices.Clone(profiles), o) {
		words := *l.at(from)
		switch {
		case len(words) == 0:
		case l.replaces(from):
			replaced = replaced || len(list) > 0
			list = words
		default:
			list = slices.Concat(list, words)
		}
	}
	if !replaced {
		return nil
	}
	return settled(list)
}

// now returns the list that a node has if lists add up.
func (r *reader) now(l wordList, profiles []*object, o *object) []string {
	var list []string
	for _, from := range append(slices.Clone(profiles), o) {
		list = append(list, *l.at(from)...)
	}
	return settled(list)
}

// settled returns words as they count: without those that are taken away, and each at its last place.
func settled(words []string) []string {
	var kept []string
	for _, w := range words {
		if !strings.HasPrefix(w, "~") && !slices.Contains(words, "~"+w) {
			kept = append(kept, w)
		}
	}
	return eachLast(kept)
}

// keep makes a node's list one by which it has again the words that it had.
func (r *reader) keep(l wordList, o *object, before, now []string) {
	own := *l.at(o)
	var gone, fresh []string
	for _, w := range now {
		if !slices.Contains(before, w) {
			gone = append(gone, "~"+w)
		}
	}
	now = slices.DeleteFunc(now, func(w string) bool { return !slices.Contains(before, w) })
	given := r.given(l, o)
	for _, w := range own {
		if !slices.Contains(given, w) {
			fresh = append(fresh, w)
		}
	}
	if again := eachLast(slices.Concat(given, fresh)); slices.Equal(before, slices.DeleteFunc(again, func(w string) bool { return !slices.Contains(before, w) })) {
		own = fresh // what the profiles say need not be said again
		now = before
	}
	line := cmpZero(r.places[place{o.ref, l.path}], o.line)
	if len(gone) > 0 {
		r.note(Fixed, line, o.ref, l.field, "in the release that wrote this, a later list takes the place of those before it; now they add up, and ~WORD takes away what was not meant", "a profile of its own may say it better")
	}
	if !slices.Equal(before, now) {
		r.note(Fixed, line, o.ref, l.field, "lists of several profiles add up: the words are the same, in another order", "")
	}
	*l.at(o) = orNil(slices.Concat(gone, own))
}

// given returns the words that the profiles of an object say.
func (r *reader) given(l wordList, o *object) []string {
	var given []string
	for _, p := range r.below(o) {
		given = append(given, *l.at(p)...)
	}
	return settled(given)
}

// dropAgain takes out of a list what it only says again: all that its profiles say, word for word, at its beginning.
func (r *reader) dropAgain(l wordList, o *object) {
	list, given := l.at(o), r.given(l, o)
	if len(given) == 0 || len(*list) < len(given) || slices.ContainsFunc(*list, func(w string) bool { return strings.HasPrefix(w, "~") }) {
		return
	}
	rest := *list
	for len(rest) >= len(given) && slices.Equal(rest[:len(given)], given) {
		rest = rest[len(given):]
	}
	if len(rest) < len(*list) {
		*list = orNil(rest)
		r.note(Fixed, cmpZero(r.places[place{o.ref, l.path}], o.line), o.ref, l.field, "the list begins with all that the profiles say already, as after Warewulf's export and import; once is enough", "")
	}
}

func orNil(words []string) []string {
	if len(words) == 0 {
		return nil
	}
	return words
}

// dropResourcesAgain does the same for lists in resources.
func (r *reader) dropResourcesAgain(o *object, profiles []*object) {
	for _, name := range slices.Sorted(maps.Keys(o.Resources)) {
		own, ok := o.Resources[name].Value().([]any)
		if !ok {
			continue
		}
		var given []any
		for _, p := range profiles {
			if list, ok := p.Resources[name].Value().([]any); ok {
				given = append(given, list...)
			}
		}
		rest := own
		for len(given) > 0 && len(rest) >= len(given) && sameValue(rest[:len(given)], given) {
			rest = rest[len(given):]
		}
		if len(rest) == len(own) {
			continue
		}
		r.note(Fixed, r.places[place{o.ref, "resources." + pathKey(name)}], o.ref, "resources.*", "the list begins with all that the profiles say already, as after Warewulf's export and import; once is enough", "")
		if len(rest) == 0 {
			delete(o.Resources, name)
		} else if res, err := fleet.NewResource(rest); err == nil {
			o.Resources[name] = res
		}
	}
}

func sameValue(a, b []any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}
