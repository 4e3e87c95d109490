package hostlist

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
)

// Fold writes names as a short list that Expand reads back: sorted by Compare, each one once. It returns "" for no
// names. What is not a name by the rules of this package is written as it stands.
func Fold(names []string) string {
	all := make([]splitName, 0, len(names))
	for _, n := range names {
		all = append(all, split(n))
	}
	slices.SortFunc(all, splitName.compare)
	all = slices.CompactFunc(all, func(a, b splitName) bool { return a.compare(b) == 0 })
	var items []string
	for shape := range chunks(all, func(a, b splitName) bool { return slices.Equal(a.literals, b.literals) }) {
		items = append(items, fold(shape, 0)...)
	}
	return strings.Join(items, ",")
}

// Compare orders names as Fold does: first by their text, then by their numbers from left to right, by value. So n2
// is before n10, and both are before x1. It returns what cmp.Compare returns.
func Compare(a, b string) int { return split(a).compare(split(b)) }

// A splitName is a name cut at its numbers: literals[0] numbers[0] literals[1] … There is one literal more than
// there are numbers; each may be empty.
type splitName struct {
	literals []string
	numbers  []string // decimal digits, at most maxDigits
}

func split(name string) splitName {
	var s splitName
	literal := 0 // where the present literal began
	for at := 0; at < len(name); {
		end := at
		for end < len(name) && name[end] >= '0' && name[end] <= '9' {
			end++
		}
		if digits := end - at; digits == 0 || digits > maxDigits {
			at = max(end, at+1) // too long for a range: text
			continue
		}
		s.literals = append(s.literals, name[literal:at])
		s.numbers = append(s.numbers, name[at:end])
		at, literal = end, end
	}
	s.literals = append(s.literals, name[literal:])
	return s
}

func (s splitName) compare(other splitName) int {
	if c := slices.Compare(s.literals, other.literals); c != 0 {
		return c
	}
	return slices.CompareFunc(s.numbers, other.numbers, compareNumbers)
}

// compareNumbers orders decimal digits by value, then by padding.
func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(value(a), value(b)), cmp.Compare(len(a), len(b)))
}

// value returns the value of at most maxDigits decimal digits.
func value(digits string) uint64 {
	v, _ := strconv.ParseUint(digits, 10, 64) // split lets nothing else through
	return v
}

// fold returns items for what follows the first dim numbers of names, which are sorted and agree in all before that.
// Expanded one after another, the items keep the order of names.
func fold(names []splitName, dim int) []string {
	literal := names[0].literals[dim]
	if dim == len(names[0].numbers) {
		return []string{literal}
	}
	var items, set []string // set is the numbers that share tail, not yet in items
	var tail string
	flush := func() {
		if set != nil {
			items = append(items, literal+bracket(set)+tail)
			set = nil
		}
	}
	for same := range chunks(names, func(a, b splitName) bool { return a.numbers[dim] == b.numbers[dim] }) {
		number, tails := same[0].numbers[dim], fold(same, dim+1)
		if len(tails) > 1 || tails[0] != tail {
			flush()
		}
		if len(tails) == 1 {
			set, tail = append(set, number), tails[0]
			continue
		}
		// To share several tails would list all numbers with the first tail before any with the second.
		for _, t := range tails {
			items = append(items, literal+number+t)
		}
	}
	flush()
	return items
}

// bracket writes sorted numbers as a set, and a single one as itself.
func bracket(numbers []string) string {
	if len(numbers) == 1 {
		return numbers[0]
	}
	var spans []string
	follows := func(a, b string) bool { return string(appendNumber(nil, value(a)+1, len(a))) == b }
	for run := range chunks(numbers, follows) {
		s := run[0]
		if len(run) > 1 {
			s += "-" + run[len(run)-1]
		}
		spans = append(spans, s)
	}
	return "[" + strings.Join(spans, ",") + "]"
}

// chunks yields the longest runs of s in which together holds for each element and the next.
func chunks[T any](s []T, together func(a, b T) bool) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for start := 0; start < len(s); {
			end := start + 1
			for end < len(s) && together(s[end-1], s[end]) {
				end++
			}
			if !yield(s[start:end]) {
				return
			}
			start = end
		}
	}
}

// AppendKey appends bytes to b that order as Compare orders names: Compare(x, y) is what bytes.Compare says of the keys
// of x and y. Names without zero bytes have keys of their own.
func AppendKey(b []byte, name string) []byte {
	s := split(name)
	for _, l := range s.literals {
		// 1 ends a literal and 0 the literals: both are below the bytes of names, so that what is shorter comes first.
		b = append(append(b, l...), 1)
	}
	b = append(b, 0)
	for _, n := range s.numbers {
		b = binary.BigEndian.AppendUint64(b, value(n))
		b = append(b, byte(len(n)))
	}
	return b
}
