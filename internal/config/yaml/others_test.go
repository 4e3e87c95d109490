package yaml

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"

	other "go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// drawValue draws a value as encoding/json has it.
func drawValue(t *rapid.T, depth int) any {
	kinds := 5
	if depth > 0 {
		kinds = 7
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.Bool().Draw(t, "truth")
	case 1:
		return rapid.Float64Range(-1e6, 1e6).Draw(t, "number")
	case 2:
		return float64(rapid.IntRange(-1000, 1000).Draw(t, "integer"))
	case 3:
		return rapid.StringMatching(`[a-zäöü][a-zäöü0-9 \n.:#'"|>-]{0,20}[a-zäöü.]`).Draw(t, "text")
	case 4:
		return nil
	case 5:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			list = append(list, drawValue(t, depth-1))
		}
		return list
	}
	object := map[string]any{}
	for range rapid.IntRange(0, 3).Draw(t, "keys") {
		object[rapid.StringMatching(`[a-zäöü][a-z :#-]{0,8}[a-z]`).Draw(t, "key")] = drawValue(t, depth-1)
	}
	return object
}

// TestParseReadsWhatOthersWrite reads generated values as another library writes them.
func TestParseReadsWhatOthersWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]any{"a": drawValue(t, 5), "b": drawValue(t, 5), "c": []any{drawValue(t, 4), drawValue(t, 4)}}
		text, err := other.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := Parse(text)
		if err != nil || len(docs) != 1 {
			t.Fatalf("%d documents, %v:\n%s", len(docs), err, text)
		}
		var same any
		encoded, err := json.Marshal(want)
		if err == nil {
			err = json.Unmarshal(encoded, &same)
		}
		if got := plain(docs[0]); err != nil || !reflect.DeepEqual(got, same) {
			t.Fatalf("got %#v, want %#v, %v:\n%s", got, same, err, text)
		}
	})
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
