package yaml

// flow reads a collection in brackets or braces, which begins here.
func (p *parser) flow() (*Node, error) {
	kind, closing := Sequence, byte(']')
	if p.text[p.at] == '{' {
		kind, closing = Mapping, '}'
	}
	open := p.at
	n, err := p.enter(kind, open)
	if err != nil {
		return nil, err
	}
	p.at++
	for {
		if err := p.skipFlow(open); err != nil {
			return nil, err
		}
		switch c := p.text[p.at]; {
		case c == closing:
			p.at++
			p.depth--
			return n, nil
		case c == ',':
			return nil, p.fail("a comma with nothing before it")
		case kind == Mapping:
			err = p.flowPair(n, open)
		default:
			err = p.flowItem(n, open)
		}
		if err != nil {
			return nil, err
		}
		if err := p.checkNodes(); err != nil {
			return nil, err
		}
		if err := p.skipFlow(open); err != nil {
			return nil, err
		}
		switch c := p.text[p.at]; c {
		case ',':
			p.at++
		case closing:
		default:
			return nil, p.fail("%s where , or %c is wanted", p.quoteLine(), closing)
		}
	}
}

// skipFlow goes to what is next in the collection that began at open.
func (p *parser) skipFlow(open int) error {
	for p.skipBlanks() {
		if p.at == len(p.text) {
			return p.failAt(open, "%c is not closed", p.text[open])
		}
		p.newline()
		if p.atAnyMarker() {
			return p.failAt(open, "%c is not closed within its document", p.text[open])
		}
	}
	return nil
}

func (p *parser) flowItem(n *Node, open int) error {
	v, err := p.flowValue(open)
	if err != nil {
		return err
	}
	n.add(v)
	if err := p.skipFlow(open); err != nil {
		return err
	}
	if p.text[p.at] == ':' {
		return p.fail("a key in a list; write {KEY: VALUE}")
	}
	return nil
}

func (p *parser) flowPair(n *Node, open int) error {
	at := p.at
	key, err := p.flowValue(open)
	if err != nil {
		return err
	}
	if key.Kind != Scalar || p.text[at] == '*' {
		return p.failAt(at, "a key must be text")
	}
	n.add(key)
	if err := p.skipFlow(open); err != nil {
		return err
	}
	if p.text[p.at] != ':' {
		n.add(p.empty())
		return nil
	}
	p.at++
	if err := p.skipFlow(open); err != nil {
		return err
	}
	v, err := p.flowValue(open)
	if err != nil {
		return err
	}
	n.add(v)
	return nil
}

// flowValue reads a value of the collection that began at open; it may be empty.
func (p *parser) flowValue(open int) (*Node, error) {
	of := properties{at: -1}
	for p.text[p.at] == '&' || p.text[p.at] == '!' {
		if err := p.property(&of); err != nil {
			return nil, err
		}
		if err := p.skipFlow(open); err != nil {
			return nil, err
		}
	}
	var n *Node
	var err error
	switch c := p.text[p.at]; {
	case c == ',' || c == ']' || c == '}':
		n = p.empty()
	case c == ':' && (isSpace(p.byteAt(p.at+1)) || isFlowIndicator(p.byteAt(p.at+1))):
		n = p.empty()
	case c == '*':
		return p.alias(&of)
	case c == '[' || c == '{':
		n, err = p.flow()
	case c == '"' || c == '\'':
		n, err = p.quoted()
	default:
		n, err = p.plain(-1, true)
	}
	if err != nil {
		return nil, err
	}
	return p.finish(n, of), nil
}
