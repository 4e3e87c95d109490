package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/config/yaml"
)

// readResource reads any value.
func readResource(n *yaml.Node, v reflect.Value) error {
	var b bytes.Buffer
	if err := appendJSON(&b, n); err != nil {
		return err
	}
	r, err := fleet.ParseResource(b.Bytes())
	if err == nil {
		v.SetString(string(r))
	}
	return err
}

// appendJSON writes n as JSON.
func appendJSON(b *bytes.Buffer, n *yaml.Node) error {
	if b.Len() > fleet.MaxResource {
		return fmt.Errorf("a resource of more than %d KiB", fleet.MaxResource>>10)
	}
	switch n.Kind {
	case yaml.Sequence:
		b.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := appendJSON(b, item); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	case yaml.Mapping:
		return appendObject(b, n)
	}
	value := n.Value()
	if f, ok := value.(float64); ok && (math.IsInf(f, 0) || math.IsNaN(f)) {
		return fmt.Errorf("%s is no number that JSON has; put it in quotes if it is text", describe(n))
	}
	return appendScalar(b, value)
}

// appendObject writes a mapping. The keys of "<<" give way to those beside it.
func appendObject(b *bytes.Buffer, n *yaml.Node) error {
	p := parse{files: []File{{}}}
	b.WriteByte('{')
	first := true
	for key, value := range p.pairs(n, exactly) {
		if !first {
			b.WriteByte(',')
		}
		first = false
		if err := appendScalar(b, key.Text); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := appendJSON(b, value); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	if len(p.faults) > 0 {
		return fmt.Errorf("line %d: %s", p.faults[0].Line, p.faults[0].What)
	}
	return nil
}

func appendScalar(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the newline
	return nil
}
