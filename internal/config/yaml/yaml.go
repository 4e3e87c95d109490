// Package yaml reads YAML 1.2 into trees of nodes that know their places, for messages that name line and column.
//
// It takes time and memory in proportion to the text, whatever that is: nesting is bounded, and so is what aliases stand
// for. No library at hand does: goccy/go-yaml 1.19.2 needs a minute and 38 GiB of allocations for one mapping of 100,000
// keys, recurses once for each of them, and drops what follows an empty document; go-yaml v3 knows no columns, and of many
// faults the line of something else.
//
// What is not read, and said so: keys that are not one line of text, pairs of a flow mapping without braces ([a: b]), and
// tags other than those of JSON's types. Tags but !!str are not acted upon: what a plain scalar is, its reader decides.
package yaml

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The bounds of one file. A value that an alias stands for counts at each place.
const (
	MaxDepth = 64      // collections within collections
	MaxNodes = 8 << 20 // keys and values, collections included
)

// A Kind is what a Node is.
type Kind uint8

// The kinds. The zero Node is a plain scalar without text, which is null.
const (
	Scalar Kind = iota
	Sequence
	Mapping
)

// A Node is a value, or a key. Nodes that have an alias stand in several places of the tree, which has no cycles.
type Node struct {
	Line, Column int32 // where it begins, counted from 1, in characters
	Kind         Kind
	Quoted       bool    // of a Scalar: it is text, whatever it looks like
	Text         string  // of a Scalar
	Items        []*Node // of a Sequence; of a Mapping, key and value in turn

	size   int32 // nodes in all, this one included, aliases as often as they stand
	height int32 // collections below, one within another, this one included
}

// IsNull reports whether n is a plain scalar that means "nothing".
func (n *Node) IsNull() bool {
	if n.Kind != Scalar || n.Quoted {
		return false
	}
	switch n.Text {
	case "", "~", "null", "Null", "NULL":
		return true
	}
	return false
}

// IsMerge reports whether n is the key "<<", whose value's keys are those of the mapping too.
func (n *Node) IsMerge() bool { return n.Kind == Scalar && !n.Quoted && n.Text == "<<" }

// Size returns how many nodes n is with all below it, those that aliases stand for counted at each place.
func (n *Node) Size() int { return int(n.size) }

// An Error is a fault in the syntax of a file.
type Error struct {
	Line, Column int
	What         string // what is wrong, and what was wanted
}

// Error returns LINE:COLUMN: WHAT.
func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.What) }

// Parse returns the documents of a file; those that hold nothing are left out. An error is an *Error.
func Parse(data []byte) ([]*Node, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	if strings.Contains(text, "\r") {
		text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	}
	p := &parser{text: text, line: 1, column: 1, anchors: map[string]*Node{}}
	if err := p.checkCharacters(); err != nil {
		return nil, err
	}
	return p.stream()
}

// A parser reads text from left to right.
type parser struct {
	text      string
	at        int // the next byte
	line      int // of at
	lineStart int // where that line begins
	depth     int // of collections that are open
	nodes     int // so far, aliases as often as they stand

	counted, column int // a byte, and its column if it is of this line: place counts on from there

	anchors map[string]*Node // of this document; nil while what has the anchor is not complete
}

// fail returns an error at what is next.
func (p *parser) fail(format string, args ...any) error { return p.failAt(p.at, format, args...) }

// failAt returns an error at a byte of the text.
func (p *parser) failAt(at int, format string, args ...any) error {
	before := p.text[:at]
	start := strings.LastIndexByte(before, '\n') + 1
	return &Error{Line: strings.Count(before, "\n") + 1, Column: utf8.RuneCountInString(before[start:]) + 1, What: fmt.Sprintf(format, args...)}
}

// checkCharacters refuses text that is not UTF-8, and what YAML 1.2, 5.1, does not allow.
func (p *parser) checkCharacters() error {
	for i := 0; i < len(p.text); {
		c := p.text[i]
		if c >= ' ' && c < 0x7f || c == '\n' || c == '\t' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(p.text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return p.failAt(i, "byte 0x%02x is not UTF-8", c)
		case r < 0xa0 && r != 0x85 || r == 0xfffe || r == 0xffff:
			return p.failAt(i, "character %U cannot stand in YAML; in double quotes write it as \\x%02x", r, r)
		}
		i += size
	}
	return nil
}

// place makes a node at a byte of the present line, or of one further on.
func (p *parser) place(kind Kind, at int) *Node {
	if p.counted < p.lineStart || p.counted > at {
		p.counted, p.column = p.lineStart, 1
	}
	p.column += utf8.RuneCountInString(p.text[p.counted:at])
	p.counted = at
	p.nodes++
	return &Node{Line: int32(p.line), Column: int32(p.column), Kind: kind, size: 1}
}

// add puts a child into a collection, and counts it.
func (n *Node) add(child *Node) {
	n.Items = append(n.Items, child)
	n.size += child.size
	n.height = max(n.height, child.height+1)
}

// enter opens a collection.
func (p *parser) enter(kind Kind, at int) (*Node, error) {
	n := p.place(kind, at)
	n.height = 1
	if p.depth++; p.depth > MaxDepth {
		return nil, p.failAt(at, "more than %d collections within each other", MaxDepth)
	}
	return n, nil
}

// checkNodes refuses a file that says, or has its aliases say, more than anybody needs.
func (p *parser) checkNodes() error {
	if p.nodes > MaxNodes {
		return p.fail("more than %d values, those counted that aliases stand for; put them into several files", MaxNodes)
	}
	return nil
}

// stream reads all documents.
func (p *parser) stream() ([]*Node, error) {
	var docs []*Node
	for {
		marked, err := p.beforeDocument()
		if err != nil {
			return nil, err
		}
		if p.at == len(p.text) && !marked {
			return docs, nil
		}
		clear(p.anchors)
		n, err := p.value(-1, marked, false)
		if err != nil {
			return nil, err
		}
		if !n.IsNull() {
			docs = append(docs, n)
		}
		if err := p.skip(); err != nil {
			return nil, err
		}
		switch {
		case p.at == len(p.text), p.atMarker("---"):
		case p.atMarker("..."):
		case !p.startsLine():
			return nil, p.fail("%s behind a value; want the end of the line, or all of it in quotes", p.quoteLine())
		default:
			return nil, p.fail("%s belongs to nothing above; check how the lines are indented", p.quoteLine())
		}
	}
}

// beforeDocument skips what may stand before a document, and reports whether that ends with "---".
func (p *parser) beforeDocument() (marked bool, err error) {
	directive := -1
	for {
		if err := p.skip(); err != nil {
			return false, err
		}
		switch {
		case p.atMarker("---"):
			p.at += 3
			return true, nil
		case directive >= 0:
			return false, p.failAt(directive, "a directive must be followed by a line ---")
		case p.atMarker("..."):
			p.at += 3
			if err := p.endLine("..."); err != nil {
				return false, err
			}
		case p.at < len(p.text) && p.at == p.lineStart && p.text[p.at] == '%':
			directive = p.at
			p.toLineEnd()
		default:
			return false, nil
		}
	}
}

// atMarker reports whether a line begins here that is "---" or "...", perhaps with something behind it.
func (p *parser) atMarker(marker string) bool {
	return p.at == p.lineStart && strings.HasPrefix(p.text[p.at:], marker) && isSpace(p.byteAt(p.at+3))
}

func (p *parser) atAnyMarker() bool { return p.atMarker("---") || p.atMarker("...") }

// byteAt returns a byte of the text, and the end of a line behind its end.
func (p *parser) byteAt(at int) byte {
	if at < len(p.text) {
		return p.text[at]
	}
	return '\n'
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' }

// startsLine reports whether there are only blanks before p.at on its line.
func (p *parser) startsLine() bool { return strings.Trim(p.text[p.lineStart:p.at], " \t") == "" }

// toLineEnd goes to the end of this line, before its newline.
func (p *parser) toLineEnd() {
	if n := strings.IndexByte(p.text[p.at:], '\n'); n >= 0 {
		p.at += n
		return
	}
	p.at = len(p.text)
}

// newline goes over a newline.
func (p *parser) newline() {
	p.at++
	p.line++
	p.lineStart = p.at
}

// skipBlanks goes over blanks of this line, and over a comment behind them. It reports whether the line ends here.
func (p *parser) skipBlanks() bool {
	from := p.at
	for p.at < len(p.text) && isBlank(p.text[p.at]) {
		p.at++
	}
	if p.at < len(p.text) && p.text[p.at] == '#' && (p.at > from || p.at == p.lineStart) {
		p.toLineEnd()
	}
	return p.at == len(p.text) || p.text[p.at] == '\n'
}

// skip goes to what is next, over comments and the ends of lines. What begins a line must be indented by blanks.
func (p *parser) skip() error {
	for p.skipBlanks() {
		if p.at == len(p.text) {
			return nil
		}
		p.newline()
	}
	if tab := strings.IndexByte(p.text[p.lineStart:p.at], '\t'); tab >= 0 && p.startsLine() {
		return p.failAt(p.lineStart+tab, "a tab in the indentation; want blanks")
	}
	return nil
}

// endLine asks for the end of the line, after what.
func (p *parser) endLine(what string) error {
	if !p.skipBlanks() {
		return p.fail("%s after %s; want the end of the line", p.quoteLine(), what)
	}
	return nil
}

// quoteLine returns the rest of the line, or the beginning of it, in quotes.
func (p *parser) quoteLine() string {
	rest := p.text[p.at:]
	if end := strings.IndexByte(rest, '\n'); end >= 0 {
		rest = rest[:end]
	}
	if len(rest) > 40 {
		cut := 40
		for !utf8.RuneStart(rest[cut]) {
			cut--
		}
		rest = rest[:cut] + "…"
	}
	return fmt.Sprintf("%q", rest)
}
