// Package hostlist reads and writes lists of node names in the notation of people who run clusters: n[001-100,205].
//
// A list is one or more items between commas. An item is a name in which any part may be a set of numbers in
// brackets; several sets multiply, the last one varying fastest. A range keeps the padding of its first number:
// [08-11] is 08, 09, 10, 11 and [8-11] is 8, 9, 10, 11. Names have the form that package fleet asks of them: lower-case
// letters, digits and inner hyphens, at most 63 characters.
package hostlist

import (
	"errors"
	"fmt"
	"strconv"
)

// MaxNames bounds the names that one list may stand for, repeated ones included.
const MaxNames = 100_000

// ErrSyntax is the reason of every error of this package. The error's text is one line that quotes the list and says
// at which position, counted from 1, what is wrong.
var ErrSyntax = errors.New("bad node list")

const (
	maxName   = 63 // characters in a name: a DNS label, RFC 1123, 2.1
	maxDigits = 18 // in one number of a range; such numbers fit an int64
)

// A span is a range of numbers, both ends included, written with at least width digits.
type span struct {
	first, last uint64
	width       int
}

// A part of an item is either literal text or a set of numbers.
type part struct {
	literal string
	spans   []span // nil for literal text
}

// Expand returns the names that list stands for: in the order of the list, each one once, and at least one. Its error
// wraps ErrSyntax.
func Expand(list string) ([]string, error) {
	items, total, err := parse(list)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, total)
	seen := make(map[string]struct{}, total)
	for _, item := range items {
		var one [maxName]byte
		item.each(one[:0], func(name []byte) {
			if _, again := seen[string(name)]; !again {
				s := string(name)
				seen[s] = struct{}{}
				names = append(names, s)
			}
		})
	}
	return names, nil
}

// An item is the parts of what stands between two commas.
type item []part

// each calls yield with every name of i, in order, after prefix. The bytes are valid until yield returns.
func (i item) each(prefix []byte, yield func(name []byte)) {
	if len(i) == 0 {
		yield(prefix)
		return
	}
	head, rest := i[0], i[1:]
	if head.spans == nil {
		rest.each(append(prefix, head.literal...), yield)
		return
	}
	for _, s := range head.spans {
		for n := s.first; n <= s.last; n++ {
			rest.each(appendNumber(prefix, n, s.width), yield)
		}
	}
}

// count returns how many names i stands for, and limit+1 if they are more than limit.
func (i item) count(limit uint64) uint64 {
	product := uint64(1)
	for _, p := range i {
		if p.spans == nil {
			continue
		}
		sum := uint64(0)
		for _, s := range p.spans {
			sum = min(sum+(s.last-s.first+1), limit+1)
		}
		product = min(product*sum, limit+1)
	}
	return product
}

// longest returns the length of i's longest name.
func (i item) longest() int {
	length := 0
	for _, p := range i {
		digits := 0
		for _, s := range p.spans {
			digits = max(digits, s.width, len(strconv.FormatUint(s.last, 10)))
		}
		length += len(p.literal) + digits
	}
	return length
}

// appendNumber appends n in decimal, padded with zeros to width.
func appendNumber(b []byte, n uint64, width int) []byte {
	var digits [20]byte
	d := strconv.AppendUint(digits[:0], n, 10)
	for range width - len(d) {
		b = append(b, '0')
	}
	return append(b, d...)
}

// A parser reads one list from left to right.
type parser struct {
	list string
	at   int // the next byte
}

// parse returns the items of list and how many names they stand for, at most MaxNames.
func parse(list string) ([]item, int, error) {
	p := &parser{list: list}
	if list == "" {
		return nil, 0, p.errorf(0, "empty; name at least one node, such as n1 or n[001-100]")
	}
	var items []item
	total := uint64(0)
	for {
		start := p.at
		i, err := p.item()
		if err != nil {
			return nil, 0, err
		}
		if total += i.count(MaxNames); total > MaxNames {
			return nil, 0, p.errorf(start, "more than %d names up to here; name fewer nodes at a time", MaxNames)
		}
		items = append(items, i)
		if p.at == len(p.list) {
			return items, int(total), nil
		}
		p.at++ // the comma that ended the item
	}
}

// item reads up to the next comma outside brackets, or to the end.
func (p *parser) item() (item, error) {
	start := p.at
	var i item
	for p.at < len(p.list) && p.list[p.at] != ',' {
		next, err := p.part()
		if err != nil {
			return nil, err
		}
		i = append(i, next)
		// Each part adds a character at least, so this bounds the parts too.
		if n := i.longest(); n > maxName {
			return nil, p.errorf(start, "a name of more than %d characters", maxName)
		}
	}
	switch {
	case len(i) == 0:
		return nil, p.errorf(start, "a name is missing; remove the comma or name a node")
	case p.list[start] == '-':
		return nil, p.errorf(start, "a name cannot begin with a hyphen")
	case p.list[p.at-1] == '-':
		return nil, p.errorf(p.at-1, "a name cannot end with a hyphen")
	}
	return i, nil
}

// part reads literal text or one set of numbers.
func (p *parser) part() (part, error) {
	if p.list[p.at] == '[' {
		spans, err := p.set()
		return part{spans: spans}, err
	}
	start := p.at
	for p.at < len(p.list) && isNameByte(p.list[p.at]) {
		p.at++
	}
	if p.at > start {
		return part{literal: p.list[start:p.at]}, nil
	}
	if p.list[p.at] == ']' {
		return part{}, p.errorf(p.at, "] without its [")
	}
	return part{}, p.errorf(p.at, "%s cannot stand in a name; want lower-case letters, digits and inner hyphens", p.quoteAt())
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-'
}

// set reads numbers and ranges between brackets.
func (p *parser) set() ([]span, error) {
	open := p.at
	p.at++
	if p.at < len(p.list) && p.list[p.at] == ']' {
		return nil, p.errorf(open, "empty brackets; want numbers, such as [1-4,7]")
	}
	var spans []span
	for {
		s, err := p.span(open)
		if err != nil {
			return nil, err
		}
		spans = append(spans, s)
		if p.at == len(p.list) {
			return nil, p.errorf(open, "[ without its ]")
		}
		c := p.list[p.at]
		switch c {
		case ',', ']':
			p.at++
		case '[':
			return nil, p.errorf(p.at, "brackets within brackets")
		default:
			return nil, p.errorf(p.at, "%s cannot stand in brackets; want numbers, such as [1-4,7]", p.quoteAt())
		}
		if c == ']' {
			return spans, nil
		}
	}
}

// span reads one number or range; open is where its bracket is.
func (p *parser) span(open int) (span, error) {
	start := p.at
	first, err := p.number(open)
	if err != nil {
		return span{}, err
	}
	s := span{width: p.at - start}
	s.first, s.last = first, first
	if p.at == len(p.list) || p.list[p.at] != '-' {
		return s, nil
	}
	p.at++
	lastAt := p.at
	if s.last, err = p.number(open); err != nil {
		return span{}, err
	}
	from, to := p.list[start:lastAt-1], p.list[lastAt:p.at]
	padded := func(s string) bool { return len(s) > 1 && s[0] == '0' }
	switch {
	case padded(from) && len(to) < len(from), padded(to) && len(to) != len(from):
		return span{}, p.errorf(start, "the ends of range %s-%s are padded to %d and %d digits; want the same number of digits", from, to, len(from), len(to))
	case s.last < s.first:
		return span{}, p.errorf(start, "range %s-%s runs backwards; want the smaller number first", from, to)
	}
	return s, nil
}

// number reads decimal digits within the brackets that began at open.
func (p *parser) number(open int) (uint64, error) {
	start := p.at
	for p.at < len(p.list) && p.list[p.at] >= '0' && p.list[p.at] <= '9' {
		p.at++
	}
	digits := p.list[start:p.at]
	switch {
	case len(digits) > maxDigits:
		return 0, p.errorf(start, "a number of more than %d digits", maxDigits)
	case len(digits) > 0:
		return strconv.ParseUint(digits, 10, 64)
	case p.at == len(p.list):
		return 0, p.errorf(open, "[ without its ]")
	case p.list[p.at] == '[':
		return 0, p.errorf(p.at, "brackets within brackets")
	default:
		return 0, p.errorf(p.at, "a number is missing before %s; want numbers, such as [1-4,7]", p.quoteAt())
	}
}

// quoteAt returns the character at p.at, quoted.
func (p *parser) quoteAt() string {
	for _, r := range p.list[p.at:] {
		return strconv.QuoteRune(r)
	}
	return "the end"
}

// errorf reports a fault at the byte at, within what was read without fault: ASCII, so that bytes are characters.
func (p *parser) errorf(at int, format string, args ...any) error {
	shown := p.list
	if len(shown) > 60 {
		from := max(0, at-30)
		shown = shown[from:min(len(shown), from+60)]
		if from > 0 {
			shown = "…" + shown
		}
		shown += "…"
	}
	return fmt.Errorf("%w %q: position %d: %s", ErrSyntax, shown, at+1, fmt.Sprintf(format, args...))
}
