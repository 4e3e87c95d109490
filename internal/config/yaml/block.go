package yaml

import "strings"

// properties are what stands before a node: its anchor and its tag.
type properties struct {
	anchor string
	tag    string
	at     int // where they begin; -1 if there are none
}

// value reads the value that belongs to a key, a "-", or a document. Its lines are indented by more than indent, but for
// those of a sequence that is a key's, which may stand below the key itself: then dash is true. If inline is true,
// something stands before it on its line that no block mapping can follow.
func (p *parser) value(indent int, inline, dash bool) (*Node, error) {
	outer, inner := properties{at: -1}, properties{at: -1}
	for {
		if p.skipBlanks() {
			if err := p.skip(); err != nil {
				return nil, err
			}
			inline = false
			if err := p.merge(&outer, &inner); err != nil {
				return nil, err
			}
			column := p.at - p.lineStart
			below := dash && column == indent && p.atDash()
			if p.at == len(p.text) || p.atAnyMarker() || column <= indent && !below {
				return p.finish(p.empty(), outer), nil
			}
		}
		if c := p.text[p.at]; c != '&' && c != '!' {
			break
		}
		if err := p.property(&inner); err != nil {
			return nil, err
		}
	}
	n, err := p.content(indent, inline, &inner)
	if err != nil {
		return nil, err
	}
	if err := p.merge(&outer, &inner); err != nil {
		return nil, err
	}
	return p.finish(n, outer), nil
}

// empty returns a value that is not there.
func (p *parser) empty() *Node { return p.place(Scalar, p.at) }

// atDash reports whether an item of a block sequence begins here.
func (p *parser) atDash() bool { return p.byteAt(p.at) == '-' && isSpace(p.byteAt(p.at+1)) }

// content reads what begins here, behind its properties. If these turn out to be those of the first key of a mapping, it
// takes them.
func (p *parser) content(indent int, inline bool, of *properties) (*Node, error) {
	switch c := p.text[p.at]; {
	case p.atDash():
		if inline || of.at >= 0 {
			return nil, p.fail("a list item cannot stand here; begin it on a line of its own")
		}
		return p.sequence(p.at - p.lineStart)
	case c == '|' || c == '>':
		return p.blockScalar(indent)
	case c == '*':
		n, err := p.alias(of)
		if err == nil && p.atColon() {
			err = p.fail("an alias cannot be a key")
		}
		return n, err
	case c == '[' || c == '{':
		n, err := p.flow()
		if err == nil && p.atColon() {
			err = p.fail("a collection cannot be a key; want text")
		}
		return n, err
	case c == '?' && isSpace(p.byteAt(p.at+1)):
		return nil, p.fail("keys that begin with ? are not read; write KEY: VALUE")
	}
	start, line, lineStart := p.at, p.line, p.lineStart
	if of.at >= lineStart {
		start = of.at
	}
	n, err := p.scalar(indent)
	if err != nil {
		return nil, err
	}
	if !p.atColon() {
		return n, nil
	}
	switch {
	case p.line != line:
		return nil, p.fail("a key here, but this line continues the text of line %d; indent the keys of a mapping alike, and put text of several lines in quotes", line)
	case inline:
		return nil, p.fail("a second \": \" on one line; put what follows the first in quotes, or on lines of their own")
	}
	n = p.finish(n, *of)
	*of = properties{at: -1}
	if err := p.noTab(start); err != nil {
		return nil, err
	}
	return p.mapping(start-lineStart, n)
}

// atColon goes over blanks, and reports whether the ":" of a key follows.
func (p *parser) atColon() bool {
	at := p.at
	for isBlank(p.byteAt(at)) {
		at++
	}
	if p.byteAt(at) == ':' && isSpace(p.byteAt(at+1)) {
		p.at = at
		return true
	}
	return false
}

// mapping reads a block mapping whose keys stand at a column; its first key has been read, up to the colon.
func (p *parser) mapping(column int, key *Node) (*Node, error) {
	p.depth++
	n := &Node{Line: key.Line, Column: key.Column, Kind: Mapping, size: 1, height: 1}
	p.nodes++
	if p.depth > MaxDepth {
		return nil, p.fail("more than %d collections within each other", MaxDepth)
	}
	for {
		p.at++ // the colon
		v, err := p.value(column, true, true)
		if err != nil {
			return nil, err
		}
		n.add(key)
		n.add(v)
		if err := p.checkNodes(); err != nil {
			return nil, err
		}
		more, err := p.another(column)
		if err != nil {
			return nil, err
		}
		if !more {
			p.depth--
			return n, nil
		}
		if key, err = p.key(); err != nil {
			return nil, err
		}
	}
}

// noTab refuses a tab before a block collection that begins at a byte of this line: nobody can say at which column that is.
func (p *parser) noTab(at int) error {
	if tab := strings.IndexByte(p.text[p.lineStart:at], '\t'); tab >= 0 {
		return p.failAt(p.lineStart+tab, "a tab in the indentation; want blanks")
	}
	return nil
}

// another reports whether the next line is one more of a block collection at a column.
func (p *parser) another(column int) (bool, error) {
	if err := p.skip(); err != nil {
		return false, err
	}
	here := p.at - p.lineStart
	switch {
	case p.at == len(p.text), p.atAnyMarker(), here < column:
		return false, nil
	case here > column && !p.startsLine():
		return false, p.fail("%s behind a value; want the end of the line, or all of it in quotes", p.quoteLine())
	case here > column:
		return false, p.fail("%s is indented by %d, but the lines before by %d; indent what belongs together alike", p.quoteLine(), here, column)
	}
	return true, nil
}

// key reads a key of a block mapping, up to its colon.
func (p *parser) key() (*Node, error) {
	of := properties{at: -1}
	for c := p.text[p.at]; c == '&' || c == '!'; c = p.byteAt(p.at) {
		if err := p.property(&of); err != nil {
			return nil, err
		}
		p.skipBlanks()
	}
	at, line := p.at, p.line
	switch c := p.byteAt(at); {
	case c == '\n':
		return nil, p.fail("an anchor or a tag without a key; want KEY: VALUE behind it")
	case p.atDash():
		return nil, p.fail("a list item where a key is wanted; indent the list by more than its key")
	case c == '?' && isSpace(p.byteAt(at+1)):
		return nil, p.fail("keys that begin with ? are not read; write KEY: VALUE")
	case c == '*', c == '[', c == '{', c == '|', c == '>':
		return nil, p.fail("%s where a key is wanted; want KEY: VALUE", p.quoteLine())
	}
	n, err := p.scalar(p.at - p.lineStart)
	if err != nil {
		return nil, err
	}
	if p.line != line || !p.atColon() {
		p.at = at
		return nil, p.fail("%s where a key is wanted; want KEY: VALUE, with a blank after the colon", p.quoteLine())
	}
	return p.finish(n, of), nil
}

// sequence reads a block sequence whose dashes stand at a column; p is at the first.
func (p *parser) sequence(column int) (*Node, error) {
	if err := p.noTab(p.at); err != nil {
		return nil, err
	}
	n, err := p.enter(Sequence, p.at)
	if err != nil {
		return nil, err
	}
	for {
		p.at++ // the dash
		v, err := p.value(column, false, false)
		if err != nil {
			return nil, err
		}
		n.add(v)
		if err := p.checkNodes(); err != nil {
			return nil, err
		}
		more, err := p.another(column)
		if err != nil {
			return nil, err
		}
		if !more || !p.atDash() {
			p.depth--
			return n, nil
		}
	}
}
