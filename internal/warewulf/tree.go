package warewulf

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/config/yaml"
)

// maxFile bounds the bytes of one file. A nodes.conf of 10,000 nodes has some ten million.
const maxFile = 64 << 20

// A value is one value of a YAML file and where it stands. Values are shared where a file has aliases, and never modified.
type value struct {
	line    int
	kind    kind
	text    string // of a scalar: as it is written, without quotes
	plain   any    // of a scalar: a bool, a string, a json.Number, an int64 or a float64
	items   []*value
	entries []entry
}

// An entry is one key of a mapping and what it has there.
type entry struct {
	key  string
	line int
	*value
}

type kind int

const (
	null kind = iota
	scalar
	list
	mapping
)

// get returns what the mapping v has under a key; nil if it has nothing.
func (v *value) get(key string) *value {
	if v == nil {
		return nil
	}
	for _, e := range v.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// parse reads a file of one YAML document. The value is null for a file without content. The error says at which line it
// is wrong.
func parse(file string, data []byte) (*value, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read", file, len(data), maxFile)
	}
	docs, err := yaml.Parse(data)
	var fault *yaml.Error
	switch {
	case errors.As(err, &fault):
		return nil, fmt.Errorf("%s:%w", file, fault)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	case len(docs) == 0:
		return &value{line: 1}, nil
	case len(docs) > 1:
		return nil, fmt.Errorf("%s:%d:%d: a second YAML document, of which Warewulf takes no notice", file, docs[1].Line, docs[1].Column)
	}
	b := builder{file: file, made: map[*yaml.Node]*value{}}
	return b.build(docs[0])
}

// A builder makes values of nodes, one of each.
type builder struct {
	file string
	made map[*yaml.Node]*value
}

func (b *builder) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d:%d: %s", b.file, n.Line, n.Column, fmt.Sprintf(format, args...))
}

func (b *builder) build(n *yaml.Node) (*value, error) {
	if v, ok := b.made[n]; ok {
		return v, nil
	}
	v := &value{line: int(n.Line)}
	var err error
	switch {
	case n.Kind == yaml.Mapping:
		v.kind = mapping
		err = b.mapping(n, v)
	case n.Kind == yaml.Sequence:
		v.kind = list
		for _, item := range n.Items {
			var got *value
			if got, err = b.build(item); err != nil {
				break
			}
			v.items = append(v.items, got)
		}
	case !n.IsNull():
		v.kind, v.text, v.plain = scalar, n.Text, n.Value()
	}
	if n.Kind != yaml.Scalar { // only these can be large, and stand in several places
		b.made[n] = v
	}
	return v, err
}

// mapping puts the entries of n into v: its own, and those of mappings that "<<" names.
func (b *builder) mapping(n *yaml.Node, v *value) error {
	seen := make(map[string]bool, len(n.Items)/2)
	var merged []*value
	for at := 0; at+1 < len(n.Items); at += 2 {
		key, below := n.Items[at], n.Items[at+1]
		got, err := b.build(below)
		switch {
		case err != nil:
			return err
		case key.IsMerge() && got.kind == list:
			merged = append(merged, got.items...)
			continue
		case key.IsMerge():
			merged = append(merged, got)
			continue
		case seen[key.Text]:
			return b.errorf(key, "%s stands here twice, which Warewulf refuses too", strconv.Quote(key.Text))
		}
		seen[key.Text] = true
		v.entries = append(v.entries, entry{key.Text, int(key.Line), got})
	}
	for _, m := range merged {
		if m.kind != mapping {
			return b.errorf(n, "what << names is no mapping")
		}
		for _, e := range m.entries {
			if !seen[e.key] {
				seen[e.key] = true
				v.entries = append(v.entries, e)
			}
		}
	}
	return nil
}

// What a resource may hold.
const (
	maxJSONDepth  = 32
	maxJSONValues = fleet.MaxResource / 2 // each takes two bytes at least
)

// json returns a value as encoding/json has it, of which left values more may be.
func (v *value) json(depth int, left *int) (any, error) {
	*left--
	switch {
	case depth > maxJSONDepth:
		return nil, fmt.Errorf("nested deeper than %d levels", maxJSONDepth)
	case *left < 0:
		return nil, fmt.Errorf("more than %d values", maxJSONValues)
	case v.kind == null:
		return nil, nil
	case v.kind == scalar:
		if f, ok := v.plain.(float64); ok && (math.IsInf(f, 0) || math.IsNaN(f)) {
			return v.text, nil
		}
		if n, ok := v.plain.(json.Number); ok && len(n) > 100 {
			return v.text, nil
		}
		return v.plain, nil
	case v.kind == list:
		all := make([]any, len(v.items))
		for i, item := range v.items {
			var err error
			if all[i], err = item.json(depth+1, left); err != nil {
				return nil, err
			}
		}
		return all, nil
	}
	all := make(map[string]any, len(v.entries))
	for _, e := range v.entries {
		var err error
		if all[e.key], err = e.value.json(depth+1, left); err != nil {
			return nil, err
		}
	}
	return all, nil
}
