package fleet

import (
	"bytes"
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An attribute is one row of the table of fields: what a T says by it, and how that is laid over what another says.
// What a T holds may be shared with others and is never modified in place.
type attribute[T any] struct {
	*Field         // nil if it has parts
	under  []Field // of the parts
	name   string  // what its path begins with

	// lay makes to say what from says, if that says anything.
	lay func(to, from *T)
	// same reports whether two say the same.
	same func(a, b *T) bool
	// settle takes away from a T over which all was laid what is not to stay; nil for most.
	settle func(of *T)
	// tidy gives what of says the one form of all that say the same, in place; nil if there is but one form.
	tidy func(of *T)
	// say tells what of says, if anything, under a path that ends before the attribute's own name.
	say func(of *T, path string, tell teller)
	// hear makes of say a value, as say tells it; "" takes away what it says. The path begins with the attribute's own name.
	// Nil for what is not set like that.
	hear func(of *T, path []string, value string) error
}

// A teller is told one thing that an object says: the field, its path with names in the place of "*", and the value. A
// list is told at once, as its words.
type teller func(f *Field, path string, value string, words []string)

// nodeOnly marks a as what profiles cannot have. It is for the making of the table.
func (a attribute[T]) nodeOnly() attribute[T] {
	a.NodeOnly = true
	return a
}

// fields returns the rows that a stands for.
func (a attribute[T]) fields() []Field {
	if a.under != nil {
		return a.under
	}
	return []Field{*a.Field}
}

// plain returns the attribute of a value that is replaced as a whole by another that says something.
func plain[T, V any](f *Field, at func(*T) *V, says func(V) bool, same func(a, b V) bool, text func(V) string, parse func(string) (V, error)) attribute[T] {
	return attribute[T]{
		Field: f,
		name:  f.Path,
		hear: func(of *T, path []string, value string) error {
			if len(path) > 1 {
				return errNoField
			}
			v, err := parseOrNone(value, parse)
			if err == nil {
				*at(of) = v
			}
			return err
		},
		same: func(a, b *T) bool { return same(*at(a), *at(b)) },
		lay: func(to, from *T) {
			if v := *at(from); says(v) {
				*at(to) = v
			}
		},
		say: func(of *T, path string, tell teller) {
			if v := *at(of); says(v) {
				tell(f, path+f.Path, text(v), nil)
			}
		},
	}
}

func equal[V comparable](a, b V) bool { return a == b }

func text[T any, V ~string](path, warewulf string, needs Needs, doc string, at func(*T) *V) attribute[T] {
	return plain(&Field{Path: path, Warewulf: warewulf, Kind: KindText, Needs: needs, Doc: doc}, at,
		func(v V) bool { return v != "" }, equal, func(v V) string { return string(v) },
		func(s string) (V, error) { return V(s), nil })
}

func number[T any, V ~int | ~int64](path, warewulf string, needs Needs, doc string, at func(*T) *V) attribute[T] {
	return plain(&Field{Path: path, Warewulf: warewulf, Kind: KindNumber, Needs: needs, Doc: doc}, at,
		func(v V) bool { return v != 0 }, equal, func(v V) string { return strconv.FormatInt(int64(v), 10) }, parseNumber[V])
}

func truth[T any](path, warewulf string, needs Needs, doc string, at func(*T) **bool) attribute[T] {
	return plain(&Field{Path: path, Warewulf: warewulf, Kind: KindBool, Needs: needs, Doc: doc}, at,
		func(v *bool) bool { return v != nil }, func(a, b *bool) bool { return a == b || a != nil && b != nil && *a == *b }, func(v *bool) string { return strconv.FormatBool(*v) }, parseTruth)
}

func address[T any](path, warewulf string, needs Needs, doc string, at func(*T) *netip.Addr) attribute[T] {
	return plain(&Field{Path: path, Warewulf: warewulf, Kind: KindAddress, Needs: needs, Doc: doc}, at, netip.Addr.IsValid, equal, netip.Addr.String, parseAddress)
}

func netmask[T any](path, warewulf string, needs Needs, doc string, at func(*T) *Netmask) attribute[T] {
	return plain(&Field{Path: path, Warewulf: warewulf, Kind: KindNetmask, Needs: needs, Doc: doc}, at,
		func(v Netmask) bool { return v != 0 }, equal, Netmask.String, ParseNetmask)
}

func hardware[T any](path, warewulf string, needs Needs, doc string, at func(*T) *MAC) attribute[T] {
	return plain(&Field{Path: path, Warewulf: warewulf, Kind: KindMAC, Needs: needs, Doc: doc}, at,
		func(v MAC) bool { return v != MAC{} }, equal, MAC.String, ParseMAC)
}

func image[T any](path, warewulf string, needs Needs, doc string, at func(*T) *ImageRef) attribute[T] {
	return plain(&Field{Path: path, Warewulf: warewulf, Kind: KindImage, Needs: needs, Doc: doc}, at,
		func(v ImageRef) bool { return !v.IsZero() }, equal, ImageRef.String, ParseImageRef)
}

func moment[T any](path, warewulf string, needs Needs, doc string, at func(*T) *time.Time) attribute[T] {
	a := plain(&Field{Path: path, Warewulf: warewulf, Kind: KindTime, Needs: needs, Doc: doc}, at,
		func(v time.Time) bool { return !v.IsZero() }, time.Time.Equal, stamp, nil)
	a.hear = nil // a moment is set by the command that it belongs to
	return a
}

func secret[T any](path, warewulf string, needs Needs, doc string, at func(*T) *Secret) attribute[T] {
	a := plain(&Field{Path: path, Warewulf: warewulf, Kind: KindText, Needs: needs, Doc: doc, Secret: true}, at,
		func(v Secret) bool { return len(v) > 0 }, func(a, b Secret) bool { return bytes.Equal(a, b) }, Secret.String, nil)
	a.hear = func(of *T, path []string, value string) error {
		if len(path) > 1 {
			return errNoField
		}
		*at(of) = Secret(value) // not nil, which would leave the present one
		return nil
	}
	return a
}

// list returns the attribute of words that are appended to others.
func list[T any](path, warewulf string, needs Needs, doc string, at func(*T) *[]string, negatable bool) attribute[T] {
	f := &Field{Path: path, Warewulf: warewulf, Kind: KindList, Needs: needs, Doc: doc, negatable: negatable}
	return attribute[T]{
		Field: f,
		name:  path,
		hear: func(of *T, path []string, value string) error {
			if len(path) > 1 {
				return errNoField
			}
			*at(of) = strings.Fields(value)
			return nil
		},
		same: func(a, b *T) bool { return slices.Equal(*at(a), *at(b)) },
		tidy: func(of *T) { *at(of) = orNil(*at(of)) },
		lay: func(to, from *T) {
			switch words := *at(from); {
			case len(words) == 0:
			case len(*at(to)) == 0:
				*at(to) = words
			default:
				*at(to) = slices.Concat(*at(to), words)
			}
		},
		say: func(of *T, path string, tell teller) {
			if words := *at(of); len(words) > 0 {
				tell(f, path+f.Path, strings.Join(words, " "), words)
			}
		},
	}
}

// negatable returns a list of which "~word" takes away each equal word, wherever they stand.
func negatable[T any](path, warewulf string, needs Needs, doc string, at func(*T) *[]string) attribute[T] {
	a := list(path, warewulf, needs, doc, at, true)
	a.settle = func(of *T) { *at(of) = withoutNegated(*at(of)) }
	return a
}

// withoutNegated returns words without those that begin with "~", and without the words that follow it in those.
func withoutNegated(words []string) []string {
	if !slices.ContainsFunc(words, isNegation) {
		return words
	}
	var left []string
	for _, w := range words {
		if !isNegation(w) && !slices.Contains(words, "~"+w) {
			left = append(left, w)
		}
	}
	return left
}

func isNegation(word string) bool { return strings.HasPrefix(word, "~") }

// keyed returns the attribute of texts by a key, each of which replaces the one with its key.
func keyed[T any](path, warewulf string, needs Needs, doc string, at func(*T) *map[string]string) attribute[T] {
	f := &Field{Path: path + ".*", Warewulf: warewulf + ".*", Kind: KindText, Needs: needs, Doc: doc}
	return attribute[T]{
		Field: f,
		name:  path,
		hear: func(of *T, path []string, value string) error {
			return hearKeyed(at(of), path, value, func(s string) (string, error) { return s, nil })
		},
		same: func(a, b *T) bool { return maps.Equal(*at(a), *at(b)) },
		tidy: func(of *T) {
			if len(*at(of)) == 0 {
				*at(of) = nil
			}
		},
		lay: func(to, from *T) {
			switch m := *at(from); {
			case len(m) == 0:
			case len(*at(to)) == 0:
				*at(to) = m
			default:
				all := maps.Clone(*at(to))
				maps.Copy(all, m)
				*at(to) = all
			}
		},
		say: func(of *T, above string, tell teller) {
			m := *at(of)
			for _, key := range slices.Sorted(maps.Keys(m)) {
				tell(f, above+path+"."+pathKey(key), m[key], nil)
			}
		},
	}
}

// pathKey returns a name as it stands in the path of a field: in quotes if it could be taken for something else.
func pathKey(name string) string {
	if name == "" || strings.ContainsAny(name, ". \"") {
		return strconv.Quote(name)
	}
	return name
}

// below returns rows of a part as they stand in the whole.
func below[T any](path, warewulf string, rows []attribute[T]) []Field {
	var out []Field
	for _, a := range rows {
		for _, f := range a.fields() {
			f.Path = path + "." + f.Path
			if warewulf != "" && f.Warewulf != "" {
				f.Warewulf = warewulf + "." + f.Warewulf
			}
			out = append(out, f)
		}
	}
	return out
}

// sameRows reports whether two say the same by each row.
func sameRows[T any](rows []attribute[T], a, b *T) bool {
	for i := range rows {
		if !rows[i].same(a, b) {
			return false
		}
	}
	return true
}

// tidyRows tidies what of says by each row.
func tidyRows[T any](rows []attribute[T], of *T) {
	for i := range rows {
		if tidy := rows[i].tidy; tidy != nil {
			tidy(of)
		}
	}
}

// inner returns the attribute of a part, whose attributes are laid each by itself.
func inner[T, U any](path, warewulf string, rows []attribute[U], at func(*T) *U) attribute[T] {
	return attribute[T]{
		under: below(path, warewulf, rows),
		name:  path,
		hear: func(of *T, path []string, value string) error {
			if len(path) > 1 {
				return hearRows(rows, at(of), path[1:], value)
			}
			return clearRows(rows, at(of), value)
		},
		same: func(a, b *T) bool { return sameRows(rows, at(a), at(b)) },
		tidy: func(of *T) { tidyRows(rows, at(of)) },
		lay: func(to, from *T) {
			for i := range rows {
				rows[i].lay(at(to), at(from))
			}
		},
		say: func(of *T, above string, tell teller) {
			for i := range rows {
				rows[i].say(at(of), above+path+".", tell)
			}
		},
	}
}

// each returns the attribute of parts with names, which are laid over those of the same name. The parts of the result
// are in the order of names.
func each[T, U any](path, warewulf string, rows []attribute[U], at func(*T) *[]U, name func(*U) *string) attribute[T] {
	byName := func(a, b U) int { return cmp.Compare(*name(&a), *name(&b)) }
	find := func(parts []U, of string) int {
		for i := range parts {
			if *name(&parts[i]) == of {
				return i
			}
		}
		return -1
	}
	return attribute[T]{
		under: below(path+".*", warewulf+".*", rows),
		name:  path,
		hear: func(of *T, path []string, value string) error {
			parts, err := hearPart(*at(of), name, rows, path, value)
			if err == nil {
				*at(of) = parts
			}
			return err
		},
		same: func(a, b *T) bool {
			these, those := *at(a), *at(b)
			for i := range these {
				found := find(those, *name(&these[i]))
				if found < 0 || !sameRows(rows, &these[i], &those[found]) {
					return false
				}
			}
			return len(these) == len(those)
		},
		tidy: func(of *T) {
			parts := orNil(*at(of))
			slices.SortStableFunc(parts, byName)
			for i := range parts {
				tidyRows(rows, &parts[i])
			}
			*at(of) = parts
		},
		lay: func(to, from *T) {
			switch parts := *at(from); {
			case len(parts) == 0:
			case len(*at(to)) == 0:
				*at(to) = parts
			default:
				all := slices.Clone(*at(to))
				for i := range parts {
					found := find(all, *name(&parts[i]))
					if found < 0 {
						all = append(all, parts[i])
						continue
					}
					for r := range rows {
						rows[r].lay(&all[found], &parts[i])
					}
				}
				slices.SortStableFunc(all, byName)
				*at(to) = all
			}
		},
		say: func(of *T, above string, tell teller) {
			parts := slices.Clone(*at(of))
			slices.SortStableFunc(parts, byName)
			for i := range parts {
				for r := range rows {
					rows[r].say(&parts[i], above+path+"."+pathKey(*name(&parts[i]))+".", tell)
				}
			}
		},
	}
}
