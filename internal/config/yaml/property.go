package yaml

import "strings"

// property reads an anchor or a tag.
func (p *parser) property(of *properties) error {
	start := p.at
	for p.at < len(p.text) && !isSpace(p.text[p.at]) && !isFlowIndicator(p.text[p.at]) {
		p.at++
	}
	word := p.text[start:p.at]
	switch {
	case word[0] == '&' && len(word) == 1:
		return p.failAt(start, "an anchor without a name; text that begins with & needs quotes")
	case word[0] == '&' && of.anchor != "", word[0] == '!' && of.tag != "":
		return p.failAt(start, "a second anchor or tag of one value")
	case word[0] == '&':
		of.anchor = word[1:]
		p.anchors[of.anchor] = nil
	default:
		switch word {
		case "!", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq", "!!timestamp":
		default:
			return p.failAt(start, "tag %.40q is not known here; text that begins with ! needs quotes", word)
		}
		of.tag = word
	}
	if of.at < 0 {
		of.at = start
	}
	return nil
}

// merge adds the properties of one line to those of lines before, and empties them.
func (p *parser) merge(to, from *properties) error {
	switch {
	case from.at < 0:
		return nil
	case to.at < 0:
		*to = *from
	case to.anchor != "" && from.anchor != "" || to.tag != "" && from.tag != "":
		return p.failAt(from.at, "a second anchor or tag of one value")
	default:
		to.anchor += from.anchor
		to.tag += from.tag
	}
	*from = properties{at: -1}
	return nil
}

// finish gives a node its properties, and returns it.
func (p *parser) finish(n *Node, of properties) *Node {
	if n.Kind == Scalar && (of.tag == "!!str" || of.tag == "!") {
		n.Quoted = true
	}
	if of.anchor != "" {
		p.anchors[of.anchor] = n
	}
	return n
}

// alias reads an alias, and returns the node that it stands for.
func (p *parser) alias(of *properties) (*Node, error) {
	start := p.at
	if of.at >= 0 {
		return nil, p.fail("an alias cannot have an anchor or a tag of its own")
	}
	p.at++
	for p.at < len(p.text) && !isSpace(p.text[p.at]) && !isFlowIndicator(p.text[p.at]) {
		p.at++
	}
	name := p.text[start+1 : p.at]
	n, known := p.anchors[name]
	switch {
	case name == "":
		return nil, p.failAt(start, "an alias without a name; text that begins with * needs quotes")
	case !known:
		return nil, p.failAt(start, "no anchor &%.40s above; text that begins with * needs quotes", name)
	case n == nil:
		return nil, p.failAt(start, "*%.40s within what it stands for", name)
	case p.depth+int(n.height) > MaxDepth:
		return nil, p.failAt(start, "*%.40s makes more than %d collections within each other", name, MaxDepth)
	}
	p.nodes += int(n.size)
	if p.nodes > MaxNodes {
		return nil, p.failAt(start, "with *%.40s the aliases stand for more than %d values", name, MaxNodes)
	}
	return n, nil
}

func isFlowIndicator(c byte) bool { return strings.IndexByte(",[]{}", c) >= 0 }
