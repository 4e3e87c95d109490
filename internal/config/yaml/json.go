package yaml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// A jsonReader makes a tree of JSON, which is YAML too. The library would hold some 500 bytes for each of one large
// collection in brackets before it makes a node, and it does not read a character that is two escapes.
type jsonReader struct {
	data   []byte
	tokens *json.Decoder
	nodes  int

	counted      int // bytes, which end at this place:
	line, column int
}

// parseJSON returns what data says, which is valid JSON.
func parseJSON(data []byte) ([]*Node, error) {
	r := jsonReader{data: data, tokens: json.NewDecoder(bytes.NewReader(data)), line: 1, column: 1}
	r.tokens.UseNumber()
	n, err := r.node(0)
	if err != nil || n.IsNull() {
		return nil, err
	}
	return []*Node{n}, nil
}

// place goes to the next token and returns an empty node there.
func (r *jsonReader) place() *Node {
	next := int(r.tokens.InputOffset())
	next += len(r.data[next:]) - len(bytes.TrimLeft(r.data[next:], " \t\r\n,:"))
	passed := r.data[r.counted:next]
	if last := bytes.LastIndexByte(passed, '\n'); last >= 0 {
		r.line += bytes.Count(passed, []byte("\n"))
		r.column = 1
		passed = passed[last+1:]
	}
	r.column += utf8.RuneCount(passed)
	r.counted = next
	return &Node{Line: int32(r.line), Column: int32(r.column), size: 1}
}

// node reads a value, or a key, that stands within that many collections.
func (r *jsonReader) node(depth int) (*Node, error) {
	n := r.place()
	fail := func(format string, args ...any) error {
		return &Error{Line: int(n.Line), Column: int(n.Column), What: fmt.Sprintf(format, args...)}
	}
	if r.nodes++; r.nodes > MaxNodes {
		return nil, fail("more than %d values; put them into several files", MaxNodes)
	}
	token, err := r.tokens.Token()
	if err != nil {
		return nil, fail("%v", err)
	}
	switch token := token.(type) {
	case nil:
		n.tag = "!!null"
	case bool:
		n.tag, n.Text = "!!bool", fmt.Sprint(token)
	case json.Number:
		n.tag, n.Text = "!!float", token.String()
	case string:
		n.tag, n.Text = "!!str", token
	case json.Delim:
		if depth++; depth > MaxDepth {
			return nil, fail("more than %d collections within each other", MaxDepth)
		}
		n.Kind, n.height = Sequence, 1
		if token == '{' {
			n.Kind = Mapping
		}
		return n, r.fill(n, depth)
	}
	return n, nil
}

// fill reads what n contains, up to its closing bracket.
func (r *jsonReader) fill(n *Node, depth int) error {
	for r.tokens.More() {
		child, err := r.node(depth)
		if err != nil {
			return err
		}
		n.add(child)
	}
	_, err := r.tokens.Token()
	return err
}
