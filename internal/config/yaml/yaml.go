// Package yaml reads YAML into trees of nodes that know their places, for messages that name line and column.
//
// go.yaml.in/yaml reads the text. This package bounds what that takes, puts into the place of aliases what they stand
// for, and says of a fault in the syntax where it is and what to do.
//
// What is not read, and said so: keys that are not text, and tags other than those of JSON's types.
package yaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// The bounds of one file. A value that an alias stands for counts at each place.
const (
	MaxDepth = 64      // collections within collections
	MaxNodes = 8 << 20 // keys and values, collections included

	maxMarks = 3 << 20   // ends of lines, commas and what else stands before values; each may stand before three nodes
	maxFlow  = 512 << 10 // those of them that make collections in brackets, of which the library holds 3 KiB for each
)

// A Kind is what a Node is.
type Kind uint8

// The kinds. The zero Node is text of no characters.
const (
	Scalar Kind = iota
	Sequence
	Mapping
)

// A Node is a value, or a key. Nodes that have an alias stand in several places of the tree, which has no cycles.
type Node struct {
	Line, Column int32 // where it begins, its anchor and tag included; counted from 1, in characters
	Kind         Kind
	Text         string  // of a Scalar, without its quotes
	Items        []*Node // of a Sequence; of a Mapping, key and value in turn

	tag    string // such as !!str, in full if the file has none
	size   int32  // nodes in all, this one included, aliases as often as they stand
	height int32  // collections below, one within another, this one included
}

// Size returns how many nodes n is with all below it, those that aliases stand for counted at each place.
func (n *Node) Size() int { return int(n.size) }

// add puts a child into a collection, and counts it.
func (n *Node) add(child *Node) {
	n.Items = append(n.Items, child)
	n.size += child.size
	n.height = max(n.height, child.height+1)
}

// Parse returns the documents of a file; those that hold nothing are left out. An error is an *Error.
func Parse(data []byte) ([]*Node, error) {
	switch {
	case !utf8.Valid(data):
		return nil, badCharacter(data, "want UTF-8")
	case json.Valid(data):
		return parseJSON(data)
	}
	if err := checkSize(data); err != nil {
		return nil, err
	}
	tooDeep := func(depth int, _ *yaml.DepthContext) error {
		if depth > MaxDepth {
			return fmt.Errorf("more than %d collections within each other", MaxDepth)
		}
		return nil
	}
	limits := loaderlimits.New(loaderlimits.DepthFunc(tooDeep), loaderlimits.AliasNone()) // a tree counts its aliases itself
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(limits))
	if err != nil {
		return nil, &Error{Line: 1, Column: 1, What: err.Error()}
	}
	var docs []*Node
	t := tree{}
	for {
		var doc yaml.Node
		switch err := loader.Load(&doc); {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return nil, explain(err, data)
		}
		t.made = map[*yaml.Node]*Node{}
		n, err := t.node(doc.Content[0], 0)
		if err != nil {
			return nil, err
		}
		if !n.IsNull() {
			docs = append(docs, n)
		}
	}
}

// checkSize refuses text whose tree could have more nodes than MaxNodes, and what takes the library time or memory out
// of proportion: it compares each tag directive with all before, and takes all of a collection in brackets apart before it
// makes a node.
func checkSize(data []byte) error {
	count := func(marks ...string) (n int) {
		for _, mark := range marks {
			n += bytes.Count(data, []byte(mark))
		}
		return n
	}
	what := ""
	switch flow := count(",", "[", "{"); {
	case count("%TAG") > MaxDepth:
		what = fmt.Sprintf("more than %d times %%TAG; leave these lines out", MaxDepth)
	case flow > maxFlow:
		what = fmt.Sprintf("more than %d commas and brackets; put lists and mappings on lines of their own, or into several files", maxFlow)
	case flow+count("\n", "\r", "\u0085", "\u2028", "\u2029", "- ", "-\t", "? ", "?\t")-count("\r\n") > maxMarks:
		what = fmt.Sprintf("more than %d lines; put them into several files", maxMarks)
	default:
		return nil
	}
	return &Error{Line: 1, Column: 1, What: what}
}

// A tree is made of what the library has read.
type tree struct {
	made  map[*yaml.Node]*Node // what has an anchor, once it is complete
	nodes int                  // so far, aliases as often as they stand
}

// node returns from with all below it. It stands within that many collections.
func (t *tree) node(from *yaml.Node, depth int) (*Node, error) {
	if from.Kind == yaml.AliasNode {
		return t.alias(from, depth)
	}
	n := &Node{Line: int32(from.Line), Column: int32(from.Column), Text: from.Value, tag: from.Tag, size: 1}
	if from.Style&yaml.TaggedStyle != 0 && !isKnown(from.Tag) {
		return nil, failAt(from, "tag %.40q is not known here; text that begins with ! needs quotes", from.Tag)
	}
	if t.nodes++; t.nodes > MaxNodes {
		return nil, failAt(from, "more than %d values, those counted that aliases stand for; put them into several files", MaxNodes)
	}
	switch depth++; {
	case from.Kind == yaml.ScalarNode:
	case depth > MaxDepth:
		return nil, failAt(from, "more than %d collections within each other", MaxDepth)
	default:
		if err := t.fill(n, from, depth); err != nil {
			return nil, err
		}
	}
	if from.Anchor != "" {
		t.made[from] = n
	}
	return n, nil
}

// fill puts into n what from contains.
func (t *tree) fill(n *Node, from *yaml.Node, depth int) error {
	n.Kind, n.height = Sequence, 1
	if from.Kind == yaml.MappingNode {
		n.Kind = Mapping
	}
	n.Items = make([]*Node, 0, len(from.Content))
	for i, below := range from.Content {
		child, err := t.node(below, depth)
		if err != nil {
			return err
		}
		if n.Kind == Mapping && i%2 == 0 && child.Kind != Scalar {
			return failAt(below, "a collection cannot be a key; want text")
		}
		n.add(child)
	}
	return nil
}

// alias returns the node that an alias stands for.
func (t *tree) alias(from *yaml.Node, depth int) (*Node, error) {
	n := t.made[from.Alias]
	switch {
	case n == nil:
		return nil, failAt(from, "*%.40s within what it stands for", from.Value)
	case depth+int(n.height) > MaxDepth:
		return nil, failAt(from, "*%.40s makes more than %d collections within each other", from.Value, MaxDepth)
	}
	if t.nodes += int(n.size); t.nodes > MaxNodes {
		return nil, failAt(from, "with *%.40s the aliases stand for more than %d values", from.Value, MaxNodes)
	}
	return n, nil
}

// isKnown reports whether a tag may stand in a file.
func isKnown(tag string) bool {
	switch tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq", "!!timestamp":
		return true
	}
	return false
}
