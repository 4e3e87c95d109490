package config

import (
	"bytes"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	other "go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/samara-hpc/samara/fleet"
)

// drawText draws text that is likely to be taken for something else.
func drawText(t *rapid.T, label string) string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", " ", "~", "~a", "null", "Null", "true", "no", "y", "0", "010", "0x1f", "1e3", "-", "- a", "? a", "?", ":", "a: b", "a:", ":a", "a #b", "#", "a#b",
			"&a", "*a", "!a", "!!str", "|", ">-", "'", "\"", "''", "@a", "`", "%a", "[a", "a]", "{", "}", ",", "a, b", "<<", "---", "...", "--- a", "\\", "\\n", "a\nb", "\n", "a\n", "\ta", "a\t",
			"\x00", "\x1b", "\x7f", "\u0085", "\u00a0", "\u2028", "\ufeff", "\ufffd", "\uffff", "😀", "é", "1:30", "2026-01-31", "1_000", ".5", "5.", "+1", ".inf", "=", "52:54:00:12:34:56", "10.1.0.1"}),
		rapid.String(),
		rapid.StringMatching(`[a-z0-9 :#~._/-]{0,12}`),
	).Draw(t, label)
}

func drawName(t *rapid.T) string {
	return rapid.StringMatching(`[a-z]([a-z0-9-]{0,4}[a-z0-9])?`).Draw(t, "name")
}

// drawScalar draws a value of a type that has a form as text of its own; false if it has none.
func drawScalar(t *rapid.T, of reflect.Type) (any, bool) {
	ip4 := func() netip.Addr {
		return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "IPv4")))
	}
	some := func(label string) bool { return rapid.Bool().Draw(t, label) }
	switch of {
	case reflect.TypeFor[netip.Addr]():
		if some("IPv6") {
			return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "IPv6"))), true
		}
		return ip4(), true
	case reflect.TypeFor[netip.Prefix]():
		return netip.PrefixFrom(ip4(), rapid.IntRange(0, 32).Draw(t, "bits")).Masked(), true
	case reflect.TypeFor[fleet.Range]():
		a, b := ip4(), ip4()
		if b.Less(a) {
			a, b = b, a
		}
		return fleet.Range{First: a, Last: b}, true
	case reflect.TypeFor[fleet.Netmask]():
		return fleet.Netmask(rapid.IntRange(0, 32).Draw(t, "mask")), true
	case reflect.TypeFor[fleet.MAC]():
		m := fleet.MAC(rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "MAC"))
		m[0] &^= 1 // no group address
		return m, true
	case reflect.TypeFor[fleet.ImageRef]():
		return fleet.ImageRef{Name: drawName(t), Version: rapid.IntRange(0, 99).Draw(t, "version")}, true
	case reflect.TypeFor[time.Time]():
		return time.Unix(rapid.Int64Range(0, 250_000_000_000).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(), true
	case reflect.TypeFor[*bool]():
		b := some("truth")
		return &b, true
	case reflect.TypeFor[fleet.Secret]():
		return fleet.Secret{}, true // one that clears: others are not written
	case reflect.TypeFor[fleet.Resource]():
		r, err := fleet.NewResource(drawValue(t, 3))
		if err != nil {
			t.Fatal(err)
		}
		return r, true
	}
	return nil, false
}

// drawValue draws what JSON can hold.
func drawValue(t *rapid.T, depth int) any {
	kinds := 5
	if depth > 0 {
		kinds = 7
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.Bool().Draw(t, "truth")
	case 1:
		return rapid.Int64().Draw(t, "integer")
	case 2:
		return rapid.Float64Range(-1e300, 1e300).Draw(t, "number")
	case 3:
		return drawText(t, "text")
	case 4:
		return nil
	case 5:
		list := make([]any, rapid.IntRange(0, 3).Draw(t, "items"))
		for i := range list {
			list[i] = drawValue(t, depth-1)
		}
		return list
	}
	object := map[string]any{}
	for range rapid.IntRange(0, 3).Draw(t, "keys") {
		object[drawText(t, "key")] = drawValue(t, depth-1)
	}
	return object
}

// fill draws a value for v, and for all in it, but for what leave says. The parts of slices have different names and are
// in their order.
func fill(t *rapid.T, v reflect.Value, leave func(reflect.StructField) bool) {
	if rapid.IntRange(0, 2).Draw(t, "said") == 0 && v.Kind() != reflect.Struct {
		return
	}
	if drawn, ok := drawScalar(t, v.Type()); ok {
		v.Set(reflect.ValueOf(drawn))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(drawText(t, "text"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "number"))
	case reflect.Struct:
		for i := range v.NumField() {
			if !leave(v.Type().Field(i)) {
				fill(t, v.Field(i), leave)
			}
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rapid.IntRange(1, 3).Draw(t, "keys") {
			item := reflect.New(v.Type().Elem()).Elem()
			fillAlways(t, item, leave)
			v.SetMapIndex(reflect.ValueOf("k"+drawText(t, "key")), item)
		}
	case reflect.Slice:
		fillSlice(t, v, leave)
	default:
		t.Fatalf("no way to draw a %s", v.Type())
	}
}

// fillAlways draws a value that says something, or is text.
func fillAlways(t *rapid.T, v reflect.Value, leave func(reflect.StructField) bool) {
	if drawn, ok := drawScalar(t, v.Type()); ok {
		v.Set(reflect.ValueOf(drawn))
		return
	}
	if v.Kind() == reflect.String {
		v.SetString(drawText(t, "text"))
		return
	}
	fill(t, v, leave)
}

func fillSlice(t *rapid.T, v reflect.Value, leave func(reflect.StructField) bool) {
	parts := map[string]reflect.Value{}
	for i := range rapid.IntRange(1, 3).Draw(t, "items") {
		item := reflect.New(v.Type().Elem()).Elem()
		fillAlways(t, item, leave)
		name := string(rune('a' + i))
		if item.Kind() == reflect.Struct && item.Field(0).Kind() == reflect.String { // a part, which begins with its name
			name = "k" + drawText(t, "name")
			item.Field(0).SetString(name)
		}
		parts[name] = item
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		v.Set(reflect.Append(v, parts[name]))
	}
}

// drawDocuments draws Documents as Parse returns them.
func drawDocuments(t *rapid.T) Documents {
	var d Documents
	never := func(f reflect.StructField) bool {
		return f.Name == "Name" && f.Type.Kind() == reflect.String || f.Name == "Revision"
	}
	own := func(f reflect.StructField) bool {
		return never(f) || f.Name == "MAC" || f.Name == "IP" || f.Name == "IP6" || f.Name == "Address"
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.Custom(drawName), 0, 2, rapid.ID).Draw(t, "nodes") {
		n := fleet.Node{Name: name}
		fill(t, reflect.ValueOf(&n).Elem(), never)
		delete(n.BMC.Tags, "kvlan")
		d.Nodes = append(d.Nodes, n)
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.Custom(drawName), 0, 2, rapid.ID).Draw(t, "profiles") {
		p := fleet.Profile{Name: name}
		fill(t, reflect.ValueOf(&p).Elem(), own)
		d.Profiles = append(d.Profiles, p)
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.Custom(drawName), 0, 2, rapid.ID).Draw(t, "networks") {
		n := fleet.Network{Name: name}
		fill(t, reflect.ValueOf(&n).Elem(), never)
		d.Networks = append(d.Networks, n)
	}
	if rapid.Bool().Draw(t, "cluster") {
		d.Cluster = &fleet.ClusterSettings{}
		fill(t, reflect.ValueOf(d.Cluster).Elem(), never)
	}
	d.sort()
	return d
}

// TestEncodeAndParseAreInverse writes generated objects, and reads them.
func TestEncodeAndParseAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDocuments(t)
		var text bytes.Buffer
		if err := Encode(&text, d); err != nil {
			t.Fatal(err)
		}
		got, err := Parse(File{"f", text.Bytes()})
		if err != nil {
			t.Fatalf("%v\n%s", err, text.Bytes())
		}
		if diff := differences(got, d); diff != "" {
			t.Fatalf("%s\n%s", diff, text.Bytes())
		}
		var again bytes.Buffer
		if err := Encode(&again, got); err != nil || !bytes.Equal(text.Bytes(), again.Bytes()) {
			t.Fatalf("written again it is\n%s, %v; it was\n%s", again.Bytes(), err, text.Bytes())
		}
	})
}

// TestEncodeDoesNotLookAtTheOrder writes the same objects in another order.
func TestEncodeDoesNotLookAtTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDocuments(t)
		var text, again bytes.Buffer
		if err := Encode(&text, d); err != nil {
			t.Fatal(err)
		}
		d.Nodes, d.Profiles, d.Networks = rapid.Permutation(d.Nodes).Draw(t, "nodes"), rapid.Permutation(d.Profiles).Draw(t, "profiles"), rapid.Permutation(d.Networks).Draw(t, "networks")
		for i := range d.Nodes {
			d.Nodes[i].Interfaces = rapid.Permutation(d.Nodes[i].Interfaces).Draw(t, "interfaces")
		}
		if err := Encode(&again, d); err != nil || !bytes.Equal(text.Bytes(), again.Bytes()) {
			t.Fatalf("in another order it is\n%s, %v; it was\n%s", again.Bytes(), err, text.Bytes())
		}
	})
}

// TestOthersReadTextAsWeWriteIt has another reader of YAML read text.
func TestOthersReadTextAsWeWriteIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawText(t, "text")
		if strings.ContainsRune(want, '\ufeff') {
			return // which that reader drops
		}
		var got map[string]any
		text := "k: " + quote(want) + "\n"
		if err := other.Unmarshal([]byte(text), &got); err != nil || got["k"] != want {
			t.Fatalf("%q is read as %q, %v; want %q", text, got["k"], err, want)
		}
	})
}

// TestSecretsAreNotWritten looks for them in what is written.
func TestSecretsAreNotWritten(t *testing.T) {
	const canary = "canary-in-the-mine"
	s := fleet.Settings{BMC: fleet.BMC{User: "u", Password: fleet.Secret(canary)}}
	text := string(encoded(t, Documents{Nodes: []fleet.Node{settings("n1", s)}, Profiles: []fleet.Profile{{Name: "p", Settings: s}}}))
	if strings.Contains(text, canary) || strings.Count(text, "      # password is set; it is not shown\n") != 2 {
		t.Errorf("got\n%s", text)
	}
	d, err := Parse(File{"f", []byte(text)})
	if err != nil || d.Nodes[0].BMC.Password != nil || d.Nodes[0].BMC.User != "u" {
		t.Errorf("it is read as %+v, %v", d, err)
	}
}
