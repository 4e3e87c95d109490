package yaml

import (
	"encoding/json"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// IsNull reports whether n is a scalar that means "nothing".
func (n *Node) IsNull() bool { return n.Kind == Scalar && n.tag == "!!null" }

// IsMerge reports whether n is the key "<<", whose value's keys are those of the mapping too.
func (n *Node) IsMerge() bool { return n.Kind == Scalar && n.tag == "!!merge" }

// Value returns what a Scalar is: nil, a bool, a string, a json.Number if it is written as JSON does, else an int64 or a
// float64. Digits after a zero are octal, as YAML 1.1 and Warewulf have them.
func (n *Node) Value() any {
	switch n.tag {
	case "!!null":
		return nil
	case "!!int", "!!float":
		if json.Valid([]byte(n.Text)) {
			return json.Number(n.Text)
		}
	case "!!bool":
	default:
		return n.Text
	}
	var v any
	scalar := yaml.Node{Kind: yaml.ScalarNode, Tag: n.tag, Value: n.Text}
	if err := scalar.Decode(&v); err != nil {
		return n.Text // with a tag that it is not
	}
	switch v := v.(type) {
	case int:
		return int64(v)
	case uint64:
		return json.Number(strconv.FormatUint(v, 10))
	}
	return v
}
