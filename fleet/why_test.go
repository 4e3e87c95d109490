package fleet

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// TestWhy tells for two profiles and a node, as JSON, where each thing comes from: "path=value source (superseded…)".
func TestWhy(t *testing.T) {
	for what, c := range map[string]struct {
		profiles, node string
		want           []string
	}{
		"nothing":               {`{}`, `{}`, nil},
		"of the node":           {`{}`, `{"init":"/n"}`, []string{"init=/n node"}},
		"of a profile":          {`{"a":{"init":"/a"}}`, `{"profiles":["a"]}`, []string{"profiles=a node", "init=/a a"}},
		"what was superseded":   {`{"a":{"init":"/a"},"b":{"init":"/b"}}`, `{"profiles":["a","b"],"init":"/n"}`, []string{"profiles=a b node", "init=/n node (/b b, /a a)"}},
		"of a nested profile":   {`{"a":{"profiles":["b"]},"b":{"init":"/b"}}`, `{"profiles":["a"]}`, []string{"profiles=a node", "init=/b b"}},
		"of a negated profile":  {`{"a":{"init":"/a"}}`, `{"profiles":["a","~a"]}`, []string{"profiles=a ~a node"}},
		"each of its own":       {`{"a":{"comment":"of a"}}`, `{"profiles":["a"],"comment":"of n1","asset_key":"k"}`, []string{"comment=of n1 node", "profiles=a node", "asset_key=k node"}},
		"within an interface":   {`{"a":{"interfaces":[{"name":"default","netmask":16,"tags":{"x":"1"}}]}}`, `{"profiles":["a"],"interfaces":[{"name":"default","ip":"10.1.0.11","netmask":24}]}`, []string{"profiles=a node", "interfaces.default.ip=10.1.0.11 node", "interfaces.default.netmask=255.255.255.0 node (255.255.0.0 a)", "interfaces.default.tags.x=1 a"}},
		"a secret":              {`{"a":{"bmc":{"password":"YQ=="}}}`, `{"profiles":["a"],"bmc":{"password":"Yg=="}}`, []string{"profiles=a node", "bmc.password=(secret) node ((secret) a)"}},
		"no over yes":           {`{"a":{"bmc":{"write":true}}}`, `{"profiles":["a"],"bmc":{"write":false}}`, []string{"profiles=a node", "bmc.write=false node (true a)"}},
		"the words of a list":   {`{"a":{"kernel_args":["x","y"]}}`, `{"profiles":["a"],"kernel_args":["z"]}`, []string{"profiles=a node", "kernel_args=x a", "kernel_args=y a", "kernel_args=z node"}},
		"words taken away":      {`{"a":{"kernel_args":["x","y"]},"b":{"kernel_args":["x"]}}`, `{"profiles":["a","b"],"kernel_args":["~x","~q"]}`, []string{"profiles=a b node", "kernel_args=y a", "kernel_args=~x node (x b, x a)", "kernel_args=~q node"}},
		"all words taken away":  {`{"a":{"kernel_args":["x"]}}`, `{"profiles":["a"],"kernel_args":["~x"]}`, []string{"profiles=a node", "kernel_args=~x node (x a)"}},
		"words for mkfs":        {`{"a":{"filesystems":[{"device":"/dev/sda1","options":["-L"]}]}}`, `{"profiles":["a"],"filesystems":[{"device":"/dev/sda1","options":["~x"]}]}`, []string{"profiles=a node", "filesystems./dev/sda1.options=-L a", "filesystems./dev/sda1.options=~x node"}},
		"the leaves of objects": {`{"a":{"resources":{"u":{"alice":{"uid":1,"sh":"sh"}}}}}`, `{"profiles":["a"],"resources":{"u":{"alice":{"uid":2}}}}`, []string{"profiles=a node", `resources.u.alice.sh="sh" a`, "resources.u.alice.uid=2 node (1 a)"}},
		"the items of lists":    {`{"a":{"resources":{"l":[{"a":1}]}}}`, `{"profiles":["a"],"resources":{"l":[2]}}`, []string{"profiles=a node", `resources.l={"a":1} a`, "resources.l=2 node"}},
		"another kind of value": {`{"a":{"resources":{"l":[1,2]}}}`, `{"profiles":["a"],"resources":{"l":3}}`, []string{"profiles=a node", "resources.l=3 node ([1,2] a)"}},
		"a list over a value":   {`{"a":{"resources":{"l":3}}}`, `{"profiles":["a"],"resources":{"l":[1,2]}}`, []string{"profiles=a node", "resources.l=1 node", "resources.l=2 node"}},
	} {
		t.Run(what, func(t *testing.T) {
			s := written(t, c.profiles, c.node)
			why, err := s.Why("n1")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range why {
				line := p.Field + "=" + p.Value + " " + p.Source
				var over []string
				for _, o := range p.Superseded {
					over = append(over, o.Value+" "+o.Source)
				}
				if over != nil {
					line += " (" + strings.Join(over, ", ") + ")"
				}
				got = append(got, line)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
	if _, err := (State{}).Why("n1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown node: %v, want ErrNotFound", err)
	}
}

// TestWhySaysWhatResolveSays takes a node of which all is said by a profile and again by itself: what Why says to hold is
// what the resolved node says.
func TestWhySaysWhatResolveSays(t *testing.T) {
	var s State
	n := full(t)
	p := Profile{Name: "a", Settings: full(t).Settings}
	n.Name, n.Profiles = "n1", []string{"a"}
	n.Resources = map[string]Resource{"site": `{"admin":{"phone":"1"}}`}
	s.profiles = s.profiles.put([]byte("a"), &p)
	s.nodes = s.nodes.put([]byte("n1"), &n)
	why, err := s.Why("n1")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string][]string{}
	for _, p := range why {
		said[p.Field] = append(said[p.Field], p.Value)
	}
	resolved, err := s.Resolve("n1")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for path, value := range resolved.Values() {
		count++
		if got := strings.Join(said[path], " "); got != value && "["+got+"]" != value {
			t.Errorf("%s is %q, and %q by Why", path, value, got)
		}
	}
	if count != len(said) {
		t.Errorf("%d values, Why says %d: %s", count, len(said), fmt.Sprint(why))
	}
}
