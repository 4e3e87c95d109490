package yaml

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	suite "github.com/goccy/go-yaml/testdata/yaml-test-suite"
)

// unread are words of the messages with which Parse refuses what it says that it does not read.
var unread = []string{
	"keys that begin with ?",
	"\"? ",
	"where a value or a key is wanted", // a key of no text
	"an alias cannot be a key",
	"\"*b : *a\" where a key is wanted",
	"a collection cannot be a key",
	"a key must be text",
	"a key in a list",
	"is not known here; text that begins with !",
	"a tab in the indentation", // of what stands on lines of its own
}

// tolerated are faults that Parse lets pass: nothing else could be meant.
var tolerated = []string{
	"directive-variants/00", // words after a directive
	"extra-words-on-yaml-directive",
	"flow-collections-over-many-lines/00", // lines in brackets or quotes that are not indented
	"wrong-indented-flow-sequence",
	"wrong-indented-multiline-quoted-scalar",
	"tabs-in-various-contexts/003",
	"tabs-that-look-like-indentation/01",
	"tabs-in-various-contexts/000", // a tab on an empty line
}

// TestParseReadsTheSuite holds Parse to the YAML test suite: each case is read as it is meant, or refused, and not one
// otherwise.
func TestParseReadsTheSuite(t *testing.T) {
	cases, err := suite.TestSuites()
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, c := range cases {
		docs, err := Parse(c.InYAML)
		if c.Error {
			if accepted := err == nil; accepted != slices.Contains(tolerated, c.Name) {
				t.Errorf("%s: read is %v:\n%s", c.Name, accepted, c.InYAML)
			}
			continue
		}
		if err != nil {
			if !slices.ContainsFunc(unread, func(words string) bool { return strings.Contains(err.Error(), words) }) {
				t.Errorf("%s: %v:\n%s", c.Name, err, c.InYAML)
			}
			continue
		}
		read++
		var got []any
		for _, d := range docs {
			got = append(got, plain(d))
		}
		want := slices.DeleteFunc(c.InJSON, func(v any) bool { return v == nil })
		if c.InJSON != nil && !slices.EqualFunc(got, want, func(a, b any) bool { return reflect.DeepEqual(a, b) }) {
			t.Errorf("%s: got %#v, want %#v:\n%s", c.Name, got, want, c.InYAML)
		}
	}
	if len(cases) < 350 || read < 200 {
		t.Errorf("read %d of %d cases; want 200 of 350", read, len(cases))
	}
}

// plain returns what encoding/json makes of a value.
func plain(n *Node) any {
	switch n.Kind {
	case Sequence:
		out := []any{}
		for _, item := range n.Items {
			out = append(out, plain(item))
		}
		return out
	case Mapping:
		out := map[string]any{}
		for i := 0; i < len(n.Items); i += 2 {
			out[n.Items[i].Text] = plain(n.Items[i+1])
		}
		return out
	}
	switch v := n.Value().(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return math.NaN()
		}
		return f
	case int64:
		return float64(v)
	default:
		return v
	}
}
