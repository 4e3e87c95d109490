package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
)

// A Resource is any value that JSON can hold, for templates to use: its encoding without blanks, the keys of objects in
// order. Equal values are equal strings. "" is no value.
type Resource string

// MaxResource bounds one resource, in bytes; maxResourceDepth how deep it may be nested.
const (
	MaxResource      = 64 << 10
	maxResourceDepth = 32
)

// NewResource returns the resource with a value as encoding/json encodes it.
func NewResource(v any) (Resource, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", fmt.Errorf("%w resource: %w", ErrInvalid, err)
	}
	return ParseResource(b.Bytes())
}

// ParseResource reads JSON.
func ParseResource(b []byte) (Resource, error) {
	v, err := decodeResource(b)
	if err != nil {
		return "", fmt.Errorf("%w resource: %w", ErrInvalid, err)
	}
	return encodeResource(v), nil
}

func decodeResource(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value")
	}
	return v, nil
}

// encodeResource writes what decodeResource returned, or parts of it.
func encodeResource(v any) Resource {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "" // what was decoded can be encoded
	}
	return Resource(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// Value returns what r holds: nil, a bool, a string, an int64, uint64 or float64, a json.Number that is none of them
// without loss, a []any, or a map[string]any.
func (r Resource) Value() any {
	if r == "" {
		return nil
	}
	v, err := decodeResource([]byte(r))
	if err != nil {
		return nil // there is no such Resource but a conversion from a string
	}
	return plainNumbers(v)
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, item := range v {
			v[key] = plainNumbers(item)
		}
	case []any:
		for at, item := range v {
			v[at] = plainNumbers(item)
		}
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return n
		}
		f, err := v.Float64()
		if b, again := json.Marshal(f); err == nil && again == nil && string(b) == v.String() {
			return f
		}
	}
	return v
}

func (r Resource) check() error {
	if len(r) > MaxResource {
		return fmt.Errorf("%w value: %d bytes as JSON, at most %d", ErrInvalid, len(r), MaxResource)
	}
	v, err := decodeResource([]byte(r))
	if err != nil || encodeResource(v) != r {
		return fmt.Errorf("%w value: not JSON in its shortest form", ErrInvalid)
	}
	if depth := depthOf(v); depth > maxResourceDepth {
		return fmt.Errorf("%w value: nested %d deep, at most %d", ErrInvalid, depth, maxResourceDepth)
	}
	return nil
}

func depthOf(v any) int {
	depth := 0
	switch v := v.(type) {
	case map[string]any:
		for _, item := range v {
			depth = max(depth, depthOf(item))
		}
	case []any:
		for _, item := range v {
			depth = max(depth, depthOf(item))
		}
	default:
		return 0
	}
	return depth + 1
}

// MarshalJSON writes the value.
func (r Resource) MarshalJSON() ([]byte, error) {
	if r == "" {
		return []byte("null"), nil
	}
	return []byte(r), nil
}

// UnmarshalJSON reads any value.
func (r *Resource) UnmarshalJSON(b []byte) error {
	got, err := ParseResource(b)
	*r = got
	return err
}

// resources returns the attribute of resources, whose objects are merged and whose lists are appended to one another.
func resources[T any](path, warewulf string, needs Needs, doc string, at func(*T) *map[string]Resource) attribute[T] {
	f := &Field{Path: path + ".*", Warewulf: warewulf + ".*", Kind: KindValue, Needs: needs, Doc: doc}
	return attribute[T]{
		Field: f,
		name:  path,
		hear: func(of *T, path []string, value string) error {
			return hearKeyed(at(of), path, value, func(s string) (Resource, error) { return ParseResource([]byte(s)) })
		},
		same: func(a, b *T) bool { return maps.Equal(*at(a), *at(b)) },
		tidy: func(of *T) {
			if len(*at(of)) == 0 {
				*at(of) = nil
			}
		},
		lay: func(to, from *T) {
			switch m := *at(from); {
			case len(m) == 0:
			case len(*at(to)) == 0:
				*at(to) = m
			default:
				all := maps.Clone(*at(to))
				for name, r := range m {
					all[name] = all[name].under(r)
				}
				*at(to) = all
			}
		},
		say: func(of *T, above string, tell teller) {
			m := *at(of)
			for _, name := range slices.Sorted(maps.Keys(m)) {
				v, err := decodeResource([]byte(m[name]))
				if err == nil {
					sayResource(f, above+path+"."+pathKey(name), v, tell)
				}
			}
		},
	}
}

// sayResource tells the leaves of v. A list is told as the encodings of its items.
func sayResource(f *Field, path string, v any, tell teller) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			sayResource(f, path+"."+pathKey(key), v[key], tell)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		items := make([]string, len(v))
		for at, item := range v {
			items[at] = string(encodeResource(item))
		}
		tell(f, path, string(encodeResource(v)), items)
		return
	case nil:
		return
	}
	tell(f, path, string(encodeResource(v)), nil)
}

// under returns what is there when over is laid over r: objects are merged, lists are appended, and anything else but null
// takes the place of what was there.
func (r Resource) under(over Resource) Resource {
	if r == "" || r == over && r[0] != '[' && r[0] != '{' {
		return over
	}
	below, err1 := decodeResource([]byte(r))
	above, err2 := decodeResource([]byte(over))
	if err1 != nil || err2 != nil {
		return over
	}
	return encodeResource(layValue(below, above))
}

func layValue(below, above any) any {
	switch v := above.(type) {
	case nil:
		return below
	case map[string]any:
		if b, ok := below.(map[string]any); ok {
			for key, item := range v {
				b[key] = layValue(b[key], item)
			}
			return b
		}
	case []any:
		if b, ok := below.([]any); ok {
			return append(b, v...)
		}
	}
	return above
}
