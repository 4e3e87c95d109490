package main

import (
	"encoding/json"
	"reflect"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// TestYAMLSaysWhatJSONSays has another reader of YAML read what --output yaml prints.
func TestYAMLSaysWhatJSONSays(t *testing.T) {
	value := rapid.Deferred(func() *rapid.Generator[any] { return anyValue(3) })
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]any{"k": value.Draw(t, "value")}
		text, err := encode(want, "yaml")
		if err != nil {
			t.Fatal(err)
		}
		var got, same any
		if err := yaml.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		again, err := json.Marshal(got)
		if err == nil {
			err = json.Unmarshal(again, &same)
		}
		if err != nil || !reflect.DeepEqual(same, any(want)) {
			t.Fatalf("got %#v, want %#v, %v:\n%s", same, want, err, text)
		}
	})
}

// anyValue draws what encoding/json makes of JSON.
func anyValue(depth int) *rapid.Generator[any] {
	word := rapid.SampledFrom([]string{"", "true", "yes", "null", "~", "0", "017", "1e3", "0x1f", "1:30", "2026-01-01", "<<", "=", "- a", "a: b", " a ", "a\nb\n", "#", "&a", "*a", "\u0085", "\u2028", "\x7f", "\x00", "é"})
	leaves := []*rapid.Generator[any]{word.AsAny(), rapid.String().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil), rapid.Float64Range(-1e9, 1e9).AsAny()}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	inner := anyValue(depth - 1)
	return rapid.OneOf(append(leaves, rapid.SliceOfN(inner, 0, 3).AsAny(), rapid.MapOfN(word, inner, 0, 3).AsAny())...)
}

func TestYAMLKeepsTheOrderOfKeys(t *testing.T) {
	got, err := encode(struct {
		Zone  string   `json:"zone"`
		Items []string `json:"items"`
		None  []string `json:"none"`
		More  any      `json:"more"`
	}{"a", []string{"b", "1"}, []string{}, map[string]int{"n": 1}}, "yaml")
	want := "zone: a\nitems:\n- b\n- '1'\nnone: []\nmore:\n  n: 1\n"
	if string(got) != want || err != nil {
		t.Errorf("got\n%s%v, want\n%s", got, err, want)
	}
}
