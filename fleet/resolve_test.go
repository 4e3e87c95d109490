package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// written returns a state with profiles, a JSON object by name, and with a node named n1, without any check.
func written(t testing.TB, profiles, node string) State {
	t.Helper()
	var s State
	all := map[string]Profile{}
	if err := json.Unmarshal([]byte(profiles), &all); err != nil {
		t.Fatalf("%s: %v", profiles, err)
	}
	for name, p := range all {
		p.Name = name
		s.profiles = s.profiles.put([]byte(name), &p)
	}
	n := Node{Name: "n1"}
	if err := json.Unmarshal([]byte(node), &n); err != nil {
		t.Fatalf("%s: %v", node, err)
	}
	s.nodes = s.nodes.put([]byte("n1"), &n)
	return s
}

// TestResolve lays profiles and a node over each other. Two profiles a and b are given, then the node, then what is to
// come out, all as JSON.
func TestResolve(t *testing.T) {
	for what, c := range map[string]struct{ profiles, node, want string }{
		// One value: the last that says something.
		"nothing":                               {`{}`, `{}`, `{}`},
		"the node alone":                        {`{}`, `{"init":"/n"}`, `{"init":"/n"}`},
		"a profile that is not named":           {`{"a":{"init":"/a"}}`, `{}`, `{}`},
		"a profile alone":                       {`{"a":{"init":"/a"}}`, `{"profiles":["a"]}`, `{"init":"/a"}`},
		"the node over a profile":               {`{"a":{"init":"/a"}}`, `{"profiles":["a"],"init":"/n"}`, `{"init":"/n"}`},
		"a later profile over an earlier":       {`{"a":{"init":"/a"},"b":{"init":"/b"}}`, `{"profiles":["a","b"]}`, `{"init":"/b"}`},
		"the other way round":                   {`{"a":{"init":"/a"},"b":{"init":"/b"}}`, `{"profiles":["b","a"]}`, `{"init":"/a"}`},
		"what the later does not say":           {`{"a":{"init":"/a","rack":"r1"},"b":{"init":"/b"}}`, `{"profiles":["a","b"]}`, `{"init":"/b","rack":"r1"}`},
		"an empty text says nothing":            {`{"a":{"init":"/a"}}`, `{"profiles":["a"],"init":""}`, `{"init":"/a"}`},
		"a zero says nothing":                   {`{"a":{"upload_limit":1048576}}`, `{"profiles":["a"],"upload_limit":0}`, `{"upload_limit":1048576}`},
		"an image with its version":             {`{"a":{"image":"debian:3"}}`, `{"profiles":["a"],"image":"rocky"}`, `{"image":"rocky"}`},
		"all that is one value":                 {`{"a":{"cluster":"c","kernel_version":"6.1","root":"tmpfs","group":"g","switch_port":"sw1:4","reseed":"never","primary_network":"ib0"}}`, `{"profiles":["a"],"reseed":"30m"}`, `{"cluster":"c","kernel_version":"6.1","root":"tmpfs","group":"g","switch_port":"sw1:4","reseed":"30m","primary_network":"ib0"}`},
		"a comment is each one's own":           {`{"a":{"comment":"of a","init":"/a"}}`, `{"profiles":["a"]}`, `{"init":"/a"}`},
		"an unknown profile says nothing":       {`{"a":{"init":"/a"}}`, `{"profiles":["nosuch","a"]}`, `{"init":"/a"}`},
		"no over yes":                           {`{"a":{"bmc":{"write":true}}}`, `{"profiles":["a"],"bmc":{"write":false}}`, `{"bmc":{"write":false}}`},
		"yes over no":                           {`{"a":{"bmc":{"write":false}}}`, `{"profiles":["a"],"bmc":{"write":true}}`, `{"bmc":{"write":true}}`},
		"neither yes nor no over no":            {`{"a":{"bmc":{"write":false}}}`, `{"profiles":["a"],"bmc":{"user":"u"}}`, `{"bmc":{"write":false,"user":"u"}}`},
		"a profile twice in a list counts once": {`{"a":{"kernel_args":["x"]}}`, `{"profiles":["a","a"]}`, `{"kernel_args":["x"]}`},
		"the first place of a profile":          {`{"a":{"init":"/a"},"b":{"init":"/b"}}`, `{"profiles":["a","b","a"]}`, `{"init":"/b"}`},

		// Profiles in profiles.
		"a nested profile is below its parent":             {`{"a":{"profiles":["b"],"init":"/a"},"b":{"init":"/b","rack":"r1"}}`, `{"profiles":["a"]}`, `{"init":"/a","rack":"r1"}`},
		"nested and named before":                          {`{"a":{"profiles":["b"],"init":"/a"},"b":{"init":"/b"}}`, `{"profiles":["b","a"]}`, `{"init":"/a"}`},
		"nested and named after":                           {`{"a":{"profiles":["b"],"init":"/a"},"b":{"init":"/b"}}`, `{"profiles":["a","b"]}`, `{"init":"/a"}`},
		"three deep":                                       {`{"a":{"profiles":["b"],"kernel_args":["a"]},"b":{"profiles":["c"],"kernel_args":["b"]},"c":{"kernel_args":["c"]}}`, `{"profiles":["a"],"kernel_args":["n"]}`, `{"kernel_args":["c","b","a","n"]}`},
		"one that two bring":                               {`{"a":{"profiles":["c"],"kernel_args":["a"]},"b":{"profiles":["c"],"kernel_args":["b"]},"c":{"kernel_args":["c"]}}`, `{"profiles":["a","b"]}`, `{"kernel_args":["c","a","b"]}`},
		"depth first":                                      {`{"a":{"profiles":["c","d"]},"c":{"profiles":["e"],"kernel_args":["c"]},"d":{"kernel_args":["d"]},"e":{"kernel_args":["e"]}}`, `{"profiles":["a"]}`, `{"kernel_args":["e","c","d"]}`},
		"a cycle ends where it began":                      {`{"a":{"profiles":["b"],"kernel_args":["a"]},"b":{"profiles":["a"],"kernel_args":["b"]}}`, `{"profiles":["a"]}`, `{"kernel_args":["b","a"]}`},
		"a cycle from its other end":                       {`{"a":{"profiles":["b"],"kernel_args":["a"]},"b":{"profiles":["a"],"kernel_args":["b"]}}`, `{"profiles":["b"]}`, `{"kernel_args":["a","b"]}`},
		"a profile that names itself":                      {`{"a":{"profiles":["a"],"init":"/a"}}`, `{"profiles":["a"]}`, `{"init":"/a"}`},
		"a parent without settings":                        {`{"a":{"profiles":["b"]},"b":{"init":"/b"}}`, `{"profiles":["a"]}`, `{"init":"/b"}`},
		"a negated one":                                    {`{"a":{"init":"/a"},"b":{"init":"/b"}}`, `{"profiles":["a","b","~b"]}`, `{"init":"/a"}`},
		"negated before it is named":                       {`{"a":{"init":"/a"},"b":{"init":"/b"}}`, `{"profiles":["~b","a","b"]}`, `{"init":"/a"}`},
		"a nested one is negated":                          {`{"a":{"profiles":["b"],"init":"/a"},"b":{"rack":"r1"}}`, `{"profiles":["a","~b"]}`, `{"init":"/a"}`},
		"a negated one's own profiles stay":                {`{"a":{"profiles":["b"],"init":"/a"},"b":{"rack":"r1"}}`, `{"profiles":["a","~a"]}`, `{"rack":"r1"}`},
		"negated twice":                                    {`{"a":{"init":"/a"}}`, `{"profiles":["a","~a","~a"]}`, `{}`},
		"a negation is not itself negated":                 {`{"a":{"init":"/a"}}`, `{"profiles":["a","~a","~~a"]}`, `{}`},
		"a profile negates another of the node's":          {`{"a":{"profiles":["~b"],"init":"/a"},"b":{"rack":"r1"}}`, `{"profiles":["b","a"]}`, `{"init":"/a"}`},
		"a profile negates one that comes later":           {`{"a":{"profiles":["~b"],"init":"/a"},"b":{"rack":"r1"}}`, `{"profiles":["a","b"]}`, `{"init":"/a"}`},
		"the negation of a profile that is itself negated": {`{"a":{"profiles":["~b"],"init":"/a"},"b":{"rack":"r1"}}`, `{"profiles":["a","b","~a"]}`, `{}`},
		"a negation of what is not there":                  {`{"a":{"init":"/a"},"b":{}}`, `{"profiles":["a","~b"]}`, `{"init":"/a"}`},
		"a negation alone":                                 {`{"a":{"init":"/a"}}`, `{"profiles":["~a"]}`, `{}`},

		// Lists.
		"lists are appended":                           {`{"a":{"kernel_args":["a1","a2"]},"b":{"kernel_args":["b"]}}`, `{"profiles":["a","b"],"kernel_args":["n"]}`, `{"kernel_args":["a1","a2","b","n"]}`},
		"equal words stay":                             {`{"a":{"kernel_args":["quiet"]}}`, `{"profiles":["a"],"kernel_args":["quiet"]}`, `{"kernel_args":["quiet","quiet"]}`},
		"a word is taken away":                         {`{"a":{"kernel_args":["quiet","splash"]}}`, `{"profiles":["a"],"kernel_args":["~quiet"]}`, `{"kernel_args":["splash"]}`},
		"each equal word is taken away":                {`{"a":{"kernel_args":["quiet","x","quiet"]}}`, `{"profiles":["a"],"kernel_args":["~quiet","quiet"]}`, `{"kernel_args":["x"]}`},
		"a profile takes a word of the node away":      {`{"a":{"kernel_args":["~quiet"]}}`, `{"profiles":["a"],"kernel_args":["quiet","x"]}`, `{"kernel_args":["x"]}`},
		"a profile takes a word of a later one away":   {`{"a":{"kernel_args":["~quiet"]},"b":{"kernel_args":["quiet","b"]}}`, `{"profiles":["a","b"]}`, `{"kernel_args":["b"]}`},
		"a word that is not there is taken away":       {`{"a":{"kernel_args":["x"]}}`, `{"profiles":["a"],"kernel_args":["~y"]}`, `{"kernel_args":["x"]}`},
		"only whole words are taken away":              {`{"a":{"kernel_args":["console=ttyS0"]}}`, `{"profiles":["a"],"kernel_args":["~console"]}`, `{"kernel_args":["console=ttyS0"]}`},
		"all words are taken away":                     {`{"a":{"kernel_args":["x"]}}`, `{"profiles":["a"],"kernel_args":["~x"]}`, `{}`},
		"a word taken away twice":                      {`{"a":{"kernel_args":["x","y"]}}`, `{"profiles":["a"],"kernel_args":["~x","~~x"]}`, `{"kernel_args":["y"]}`},
		"the node takes its own word away":             {`{}`, `{"kernel_args":["x","y","~x"]}`, `{"kernel_args":["y"]}`},
		"system overlays":                              {`{"a":{"system_overlays":["base","ssh"]}}`, `{"profiles":["a"],"system_overlays":["~ssh","mine"]}`, `{"system_overlays":["base","mine"]}`},
		"runtime overlays":                             {`{"a":{"runtime_overlays":["hosts"]},"b":{"runtime_overlays":["slurm"]}}`, `{"profiles":["b","a"]}`, `{"runtime_overlays":["slurm","hosts"]}`},
		"one list takes nothing from another":          {`{"a":{"system_overlays":["x"],"runtime_overlays":["x"]}}`, `{"profiles":["a"],"system_overlays":["~x"]}`, `{"runtime_overlays":["x"]}`},
		"words for mkfs are not taken away":            {`{"a":{"filesystems":[{"device":"/dev/sda1","options":["-L"]}]}}`, `{"profiles":["a"],"filesystems":[{"device":"/dev/sda1","options":["~x"]}]}`, `{"filesystems":[{"device":"/dev/sda1","options":["-L","~x"]}]}`},
		"a negated profile takes its words along":      {`{"a":{"kernel_args":["~x"]},"b":{"kernel_args":["x"]}}`, `{"profiles":["a","b","~a"]}`, `{"kernel_args":["x"]}`},
		"a profile's list is not changed by its users": {`{"a":{"kernel_args":["x"]}}`, `{"profiles":["a"],"kernel_args":["n"]}`, `{"kernel_args":["x","n"]}`},

		// Interfaces.
		"a netmask of the profile, an address of the node": {`{"a":{"interfaces":[{"name":"default","netmask":16,"gateway":"10.1.0.254"}]}}`, `{"profiles":["a"],"interfaces":[{"name":"default","mac":"52:54:00:00:00:01","ip":"10.1.0.11"}]}`, `{"interfaces":[{"name":"default","mac":"52:54:00:00:00:01","ip":"10.1.0.11","netmask":16,"gateway":"10.1.0.254"}]}`},
		"a netmask of the node over the profile's":         {`{"a":{"interfaces":[{"name":"default","netmask":16}]}}`, `{"profiles":["a"],"interfaces":[{"name":"default","netmask":24}]}`, `{"interfaces":[{"name":"default","netmask":24}]}`},
		"an interface that only the profile has":           {`{"a":{"interfaces":[{"name":"ib0","type":"infiniband","device":"ib0"}]}}`, `{"profiles":["a"],"interfaces":[{"name":"default","ip":"10.1.0.11"}]}`, `{"interfaces":[{"name":"default","ip":"10.1.0.11"},{"name":"ib0","type":"infiniband","device":"ib0"}]}`},
		"interfaces are in the order of names":             {`{"a":{"interfaces":[{"name":"z","mtu":1}]},"b":{"interfaces":[{"name":"b","mtu":2},{"name":"a","mtu":3}]}}`, `{"profiles":["a","b"]}`, `{"interfaces":[{"name":"a","mtu":3},{"name":"b","mtu":2},{"name":"z","mtu":1}]}`},
		"tags of an interface":                             {`{"a":{"interfaces":[{"name":"default","tags":{"DNS1":"10.1.0.1","DNS2":"10.1.0.2"}}]}}`, `{"profiles":["a"],"interfaces":[{"name":"default","tags":{"DNS2":"10.1.0.3"}}]}`, `{"interfaces":[{"name":"default","tags":{"DNS1":"10.1.0.1","DNS2":"10.1.0.3"}}]}`},
		"an interface that is not brought up":              {`{"a":{"interfaces":[{"name":"default","onboot":true,"mtu":9000}]}}`, `{"profiles":["a"],"interfaces":[{"name":"default","onboot":false}]}`, `{"interfaces":[{"name":"default","onboot":false,"mtu":9000}]}`},
		"IPv6":                                             {`{"a":{"interfaces":[{"name":"default","prefix6":64,"gateway6":"fd00::1"}]}}`, `{"profiles":["a"],"interfaces":[{"name":"default","ip6":"fd00::b"}]}`, `{"interfaces":[{"name":"default","ip6":"fd00::b","prefix6":64,"gateway6":"fd00::1"}]}`},
		"a bond of the profile over addresses of the node": {`{"a":{"interfaces":[{"name":"bond0","type":"bond"},{"name":"en1","type":"bond-slave","tags":{"master":"bond0"}}]}}`, `{"profiles":["a"],"interfaces":[{"name":"bond0","ip":"10.1.0.11"},{"name":"en1","mac":"52:54:00:00:00:01"}]}`, `{"interfaces":[{"name":"bond0","type":"bond","ip":"10.1.0.11"},{"name":"en1","type":"bond-slave","mac":"52:54:00:00:00:01","tags":{"master":"bond0"}}]}`},
		"three layers of one interface":                    {`{"a":{"interfaces":[{"name":"default","netmask":16,"mtu":1500}]},"b":{"interfaces":[{"name":"default","mtu":9000,"type":"ethernet"}]}}`, `{"profiles":["a","b"],"interfaces":[{"name":"default","device":"eno1"}]}`, `{"interfaces":[{"name":"default","netmask":16,"mtu":9000,"type":"ethernet","device":"eno1"}]}`},

		// The management controller, tags, disks, filesystems.
		"an account of the profile, an address of the node": {`{"a":{"bmc":{"user":"admin","password":"c2VjcmV0","driver":"lanplus","netmask":24}}}`, `{"profiles":["a"],"bmc":{"address":"10.9.0.1"}}`, `{"bmc":{"user":"admin","password":"c2VjcmV0","driver":"lanplus","netmask":24,"address":"10.9.0.1"}}`},
		"a password of the node over the profile's":         {`{"a":{"bmc":{"password":"YQ=="}}}`, `{"profiles":["a"],"bmc":{"password":"Yg=="}}`, `{"bmc":{"password":"Yg=="}}`},
		"tags of the management controller":                 {`{"a":{"bmc":{"vlan":7,"tags":{"x":"1"}}}}`, `{"profiles":["a"],"bmc":{"tags":{"y":"2"}}}`, `{"bmc":{"vlan":7,"tags":{"x":"1","y":"2"}}}`},
		"tags by key":                                       {`{"a":{"tags":{"x":"1","y":"1"}},"b":{"tags":{"y":"2","z":"2"}}}`, `{"profiles":["a","b"],"tags":{"z":"3"}}`, `{"tags":{"x":"1","y":"2","z":"3"}}`},
		"an empty tag over another":                         {`{"a":{"tags":{"x":"1"}}}`, `{"profiles":["a"],"tags":{"x":""}}`, `{"tags":{"x":""}}`},
		"partitions by label":                               {`{"a":{"disks":[{"device":"/dev/sda","wipe_table":true,"partitions":[{"label":"swap","number":1,"size_mib":1024},{"label":"scratch","number":2}]}]}}`, `{"profiles":["a"],"disks":[{"device":"/dev/sda","partitions":[{"label":"swap","size_mib":4096},{"label":"tmp","number":3,"should_exist":true}]}]}`, `{"disks":[{"device":"/dev/sda","wipe_table":true,"partitions":[{"label":"scratch","number":2},{"label":"swap","number":1,"size_mib":4096},{"label":"tmp","number":3,"should_exist":true}]}]}`},
		"another disk":                                      {`{"a":{"disks":[{"device":"/dev/sdb","wipe_table":true}]}}`, `{"profiles":["a"],"disks":[{"device":"/dev/sda","wipe_table":false}]}`, `{"disks":[{"device":"/dev/sda","wipe_table":false},{"device":"/dev/sdb","wipe_table":true}]}`},
		"filesystems by device":                             {`{"a":{"filesystems":[{"device":"/dev/sda2","format":"xfs","path":"/scratch","wipe":true,"mount_options":"noatime"}]}}`, `{"profiles":["a"],"filesystems":[{"device":"/dev/sda2","format":"ext4","wipe":false}]}`, `{"filesystems":[{"device":"/dev/sda2","format":"ext4","path":"/scratch","wipe":false,"mount_options":"noatime"}]}`},

		// Resources.
		"resources by name":                     {`{"a":{"resources":{"x":1}}}`, `{"profiles":["a"],"resources":{"y":2}}`, `{"resources":{"x":1,"y":2}}`},
		"lists of resources are appended":       {`{"a":{"resources":{"fstab":[{"spec":"nfs1:/home"}]}},"b":{"resources":{"fstab":[{"spec":"nfs2:/opt"}]}}}`, `{"profiles":["a","b"],"resources":{"fstab":["n"]}}`, `{"resources":{"fstab":[{"spec":"nfs1:/home"},{"spec":"nfs2:/opt"},"n"]}}`},
		"equal lists of resources are appended": {`{"a":{"resources":{"l":[1]}}}`, `{"profiles":["a"],"resources":{"l":[1]}}`, `{"resources":{"l":[1,1]}}`},
		"no word is taken out of a resource":    {`{"a":{"resources":{"l":["x"]}}}`, `{"profiles":["a"],"resources":{"l":["~x"]}}`, `{"resources":{"l":["x","~x"]}}`},
		"objects of resources are merged":       {`{"a":{"resources":{"users":{"alice":{"uid":1,"shell":"sh"},"bob":{"uid":2}}}}}`, `{"profiles":["a"],"resources":{"users":{"alice":{"uid":7},"carol":{"uid":3}}}}`, `{"resources":{"users":{"alice":{"uid":7,"shell":"sh"},"bob":{"uid":2},"carol":{"uid":3}}}}`},
		"lists deep in a resource":              {`{"a":{"resources":{"r":{"a":{"l":[1]}}}}}`, `{"profiles":["a"],"resources":{"r":{"a":{"l":[2]}}}}`, `{"resources":{"r":{"a":{"l":[1,2]}}}}`},
		"one value of a resource":               {`{"a":{"resources":{"x":"1"}}}`, `{"profiles":["a"],"resources":{"x":"2"}}`, `{"resources":{"x":"2"}}`},
		"no over yes in a resource":             {`{"a":{"resources":{"x":true}}}`, `{"profiles":["a"],"resources":{"x":false}}`, `{"resources":{"x":false}}`},
		"null over something in a resource":     {`{"a":{"resources":{"x":{"y":1}}}}`, `{"profiles":["a"],"resources":{"x":{"y":null}}}`, `{"resources":{"x":{"y":1}}}`},
		"another kind of value in a resource":   {`{"a":{"resources":{"x":[1]}}}`, `{"profiles":["a"],"resources":{"x":{"y":2}}}`, `{"resources":{"x":{"y":2}}}`},
		"large numbers of a resource":           {`{"a":{"resources":{"x":{"n":12345678901234567890}}}}`, `{"profiles":["a"],"resources":{"x":{"m":1.50}}}`, `{"resources":{"x":{"m":1.50,"n":12345678901234567890}}}`},
	} {
		t.Run(what, func(t *testing.T) {
			s := written(t, c.profiles, c.node)
			before := fmt.Sprint(slices.Collect(s.Profiles()), slices.Collect(s.Nodes()))
			got, err := s.Resolve("n1")
			if err != nil {
				t.Fatal(err)
			}
			var want Settings
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if got, want := encoded(t, got.Settings), encoded(t, want); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			written, _ := s.Node("n1")
			if !slices.Equal(got.Profiles, written.Profiles) {
				t.Errorf("profiles %q, want them as written: %q", got.Profiles, written.Profiles)
			}
			if after := fmt.Sprint(slices.Collect(s.Profiles()), slices.Collect(s.Nodes())); after != before {
				t.Errorf("resolving changed what is written:\n%s\nbefore\n%s", after, before)
			}
			all := slices.Collect(s.ResolveAll())
			if len(all) != 1 || !reflect.DeepEqual(all[0], got) {
				t.Errorf("ResolveAll yields %+v, Resolve %+v", all, got)
			}
			if rack, image := s.RackOf(written), s.ImageOf(written); rack != got.Rack || image != got.Image {
				t.Errorf("rack %q and image %q, want %q and %q", rack, image, got.Rack, got.Image)
			}
		})
	}
}

func encoded(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestResolveNames(t *testing.T) {
	s := written(t, `{"a":{"profiles":["b"],"kernel_args":["x","~x"]},"b":{"init":"/b"}}`, `{}`)
	if _, err := s.Resolve("n2"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "n2") {
		t.Errorf("an unknown node: %v, want ErrNotFound and its name", err)
	}
	if _, err := s.ResolveProfile("c"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "profile c") {
		t.Errorf("an unknown profile: %v, want ErrNotFound and its name", err)
	}
	if got, err := s.ResolveProfile("a"); err != nil || encoded(t, got) != `{"init":"/b"}` {
		t.Errorf("profile a: %s, %v", encoded(t, got), err)
	}
}

func TestPrimaryInterface(t *testing.T) {
	for what, c := range map[string]struct {
		settings string
		want     string
		ok       bool
	}{
		"none":               {`{}`, "", false},
		"the first by name":  {`{"interfaces":[{"name":"b"},{"name":"a"}]}`, "a", true},
		"the one that is it": {`{"interfaces":[{"name":"a"},{"name":"b"}],"primary_network":"b"}`, "b", true},
		"one that is absent": {`{"interfaces":[{"name":"a"}],"primary_network":"b"}`, "", false},
	} {
		var s Settings
		if err := json.Unmarshal([]byte(c.settings), &s); err != nil {
			t.Fatal(err)
		}
		if i, ok := s.Primary(); ok != c.ok || ok && i.Name != c.want {
			t.Errorf("%s: %q, %t; want %q, %t", what, i.Name, ok, c.want, c.ok)
		}
	}
}
