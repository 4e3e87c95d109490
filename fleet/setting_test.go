package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseNetmask(t *testing.T) {
	for in, want := range map[string]Netmask{"": 0, "255.255.255.0": 24, "24": 24, "255.255.255.255": 32, "32": 32, "128.0.0.0": 1, "1": 1, "255.254.0.0": 15} {
		got, err := ParseNetmask(in)
		if err != nil || got != want {
			t.Errorf("ParseNetmask(%q) = %d, %v; want %d", in, got, err, want)
		}
		if again, err := ParseNetmask(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q", in, got)
		}
	}
	for _, in := range []string{"0", "33", "-1", "024", "+24", "/24", "255.0.255.0", "0.0.0.0", "255.255.255", "255.255.255.0.0", "ffffff00", "fd00::"} {
		if _, err := ParseNetmask(in); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "255.255.255.0") {
			t.Errorf("ParseNetmask(%q) = %v, want ErrInvalid and the form", in, err)
		}
	}
	if got := Netmask(33).String(); got != "" {
		t.Errorf("33 bits are %q", got)
	}
}

func TestReseedDuration(t *testing.T) {
	for in, want := range map[Reseed]time.Duration{"90m": 90 * time.Minute, "1h30m": 90 * time.Minute, ReseedAlways: 0, ReseedRollout: 0, "": 0} {
		if d, ok := in.Duration(); d != want || ok != (want != 0) {
			t.Errorf("%q lasts %s, %t; want %s", in, d, ok, want)
		}
		if err := in.check(); err != nil {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestResource(t *testing.T) {
	for in, c := range map[string]struct {
		want  Resource
		value any
	}{
		` { "b" : 1, "a" : [ true , null ] } `: {`{"a":[true,null],"b":1}`, map[string]any{"a": []any{true, nil}, "b": int64(1)}},
		`"a<b>&\u003c"`:                        {`"a<b>&<"`, "a<b>&<"},
		`18446744073709551615`:                 {`18446744073709551615`, uint64(1<<64 - 1)},
		`-3`:                                   {`-3`, int64(-3)},
		`0.5`:                                  {`0.5`, 0.5},
		`1.50`:                                 {`1.50`, json.Number("1.50")},
		`18446744073709551616`:                 {`18446744073709551616`, json.Number("18446744073709551616")},
		`null`:                                 {`null`, nil},
	} {
		got, err := ParseResource([]byte(in))
		if err != nil || got != c.want || !reflect.DeepEqual(got.Value(), c.value) {
			t.Errorf("%s is %s with the value %#v, %v; want %s and %#v", in, got, got.Value(), err, c.want, c.value)
		}
		again, err := NewResource(got.Value())
		if err != nil || again != got {
			t.Errorf("the value of %s is %s, %v", got, again, err)
		}
		var read map[string]Resource
		if err := json.Unmarshal([]byte(encoded(t, map[string]Resource{"x": got})), &read); err != nil || read["x"] != got {
			t.Errorf("%s is read as %s, %v", got, read["x"], err)
		}
	}
	for _, in := range []string{"", "{", `{"a":1} 2`, "nil", `{"a":}`} {
		if _, err := ParseResource([]byte(in)); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseResource(%q) = %v, want ErrInvalid", in, err)
		}
	}
	if _, err := NewResource(func() {}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a function: %v, want ErrInvalid", err)
	}
	if err := Resource(`{ "a":1}`).check(); !errors.Is(err, ErrInvalid) {
		t.Errorf("one with a blank: %v, want ErrInvalid", err)
	}
	if got := encoded(t, Resource("")); got != "null" || Resource("").Value() != nil || Resource("{").Value() != nil {
		t.Errorf("no value is %s", got)
	}
}

func TestFoldSome(t *testing.T) {
	var stars []string
	for _, name := range strings.Fields("virgo libra scorpio sagittarius capricorn aquarius pisces aries taurus gemini cancer leo") {
		stars = append(stars, name+"-of-the-zodiac")
	}
	for want, names := range map[string][]string{
		"node n1":           {"n1"},
		"nodes n[1-3]":      {"n2", "n1", "n3"},
		"nodes a,b1,c[2-3]": {"c3", "a", "c2", "b1"},
		"nodes aquarius-of-the-zodiac,aries-of-the-zodiac,cancer-of-the-zodiac,capricorn-of-the-zodiac,gemini-of-the-zodiac,leo-of-the-zodiac," +
			"libra-of-the-zodiac,pisces-of-the-zodiac,sagittarius-of-the-zodiac,scorpio-of-the-zodiac and 2 more": stars,
	} {
		if got := foldSome("node", names); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestSecretsAreLeftOut encodes and prints what holds a password.
func TestSecretsAreLeftOut(t *testing.T) {
	n := full(t)
	p := Profile{Name: "a", Settings: n.Settings}
	c := Change{Kind: ObjectNode, Name: "n1", Before: Object{Node: &n}, After: Object{Profile: &p}}
	for what, v := range map[string]any{
		"node":    n.WithoutSecrets(),
		"profile": p.WithoutSecrets(),
		"object":  Object{Node: &n}.WithoutSecrets(),
		"record":  Record{Changed: []Change{c}}.WithoutSecrets(),
	} {
		if text := encoded(t, v); strings.Contains(text, "password") || !strings.Contains(text, "escape_char") {
			t.Errorf("%s: %s", what, text)
		}
	}
	if string(n.BMC.Password) != "canary" || string(p.BMC.Password) != "canary" || c.Before.Node != &n {
		t.Error("the original lost its secret")
	}
	for _, v := range []any{n, p, Edit{Puts: []Object{{Node: &n}}}} {
		if text := fmt.Sprintf("%v %+v %#v", v, v, v); strings.Contains(text, "canary") || strings.Contains(text, "99 97 110") {
			t.Errorf("a secret is printed: %s", text)
		}
	}
}

func TestNeedsAreNamed(t *testing.T) {
	b, err := json.Marshal([]Needs{NeedsNothing, NeedsRefresh, NeedsReboot})
	if err != nil || string(b) != `["nothing","refresh","reboot"]` {
		t.Errorf("%s, %v", b, err)
	}
}
