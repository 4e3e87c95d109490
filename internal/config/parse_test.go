package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
)

// differences returns in what two Documents differ, but for where they stand.
func differences(got, want Documents) string {
	got.places, want.places = nil, nil
	return cmp.Diff(want, got, cmp.AllowUnexported(Documents{}),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b fleet.Secret) bool { return (a == nil) == (b == nil) && string(a) == string(b) }))
}

func nodes(all ...fleet.Node) Documents { return Documents{Nodes: all} }

func settings(name string, s fleet.Settings) fleet.Node { return fleet.Node{Name: name, Settings: s} }

func TestParse(t *testing.T) {
	yes, no := true, false
	port := func(i fleet.Interface) fleet.Settings {
		i.Name = "default"
		return fleet.Settings{Interfaces: []fleet.Interface{i}}
	}
	inRack := func(rack string) fleet.Settings {
		return fleet.Settings{Rack: rack, Init: "/i", Tags: map[string]string{"x": "1"}}
	}
	for phrase, c := range map[string]struct {
		text string
		want Documents
	}{
		"nothing":                   {"", Documents{}},
		"comments":                  {"# a\n---\n# b\n", Documents{}},
		"empty sections":            {"nodes:\nnodeprofiles: {}\nnetworks: ~\ncluster:\n", Documents{}},
		"a node that says nothing":  {"nodes: {n1: }", nodes(fleet.Node{Name: "n1"})},
		"the same with braces":      {"nodes:\n  n1: {}\n", nodes(fleet.Node{Name: "n1"})},
		"JSON":                      {`{"nodes":{"n1":{"comment":"a\tb","tags":{"x":"\ud83d\ude00"}}}}`, nodes(fleet.Node{Name: "n1", Comment: "a\tb", Settings: fleet.Settings{Tags: map[string]string{"x": "😀"}}})},
		"several documents":         {"nodes: {n2: }\n---\nnodes: {n1: }\n...\n---\n---\nnodes: {n3: }\n", nodes(fleet.Node{Name: "n1"}, fleet.Node{Name: "n2"}, fleet.Node{Name: "n3"})},
		"lines of other systems":    {"nodes:\r\n  n1:\r\n    comment: a\r\n", nodes(fleet.Node{Name: "n1", Comment: "a"})},
		"a mark of the byte order":  {"\ufeffnodes: {n1: }", nodes(fleet.Node{Name: "n1"})},
		"profiles":                  {"nodeprofiles: {p: {comment: c, profiles: [q, ~r]}}", Documents{Profiles: []fleet.Profile{{Name: "p", Comment: "c", Profiles: []string{"q", "~r"}}}}},
		"profiles by our name":      {"profiles: {p: {root: tmpfs}}", Documents{Profiles: []fleet.Profile{{Name: "p", Settings: fleet.Settings{Root: fleet.RootTmpfs}}}}},
		"Warewulf's name":           {"nodes: {n1: {image name: a}}", nodes(settings("n1", fleet.Settings{Image: fleet.ImageRef{Name: "a"}}))},
		"with underscores":          {"nodes: {n1: {image_name: 'a:3'}}", nodes(settings("n1", fleet.Settings{Image: fleet.ImageRef{Name: "a", Version: 3}}))},
		"our name":                  {"nodes: {n1: {image: a}}", nodes(settings("n1", fleet.Settings{Image: fleet.ImageRef{Name: "a"}}))},
		"a part by parts":           {"nodes: {n1: {kernel: {version: 5.14, args: [quiet, ~splash]}}}", nodes(settings("n1", fleet.Settings{KernelVersion: "5.14", KernelArgs: []string{"quiet", "~splash"}}))},
		"a part at once":            {"nodes: {n1: {kernel_version: '5', kernel args: [a]}}", nodes(settings("n1", fleet.Settings{KernelVersion: "5", KernelArgs: []string{"a"}}))},
		"names mixed":               {"nodes: {n1: {ipmi: {address: 10.2.0.1, username: u}}}", nodes(settings("n1", fleet.Settings{BMC: fleet.BMC{Address: netip.MustParseAddr("10.2.0.1"), User: "u"}}))},
		"a tag that is a field":     {"nodes: {n1: {ipmi: {tags: {vlan: '42', a: b}}}}", nodes(settings("n1", fleet.Settings{BMC: fleet.BMC{VLAN: 42, Tags: map[string]string{"a": "b"}}}))},
		"the field itself":          {"nodes: {n1: {bmc: {vlan: 42}}}", nodes(settings("n1", fleet.Settings{BMC: fleet.BMC{VLAN: 42}}))},
		"a mask":                    {"nodes: {n1: {network devices: {default: {netmask: 255.255.0.0}}}}", nodes(settings("n1", port(fleet.Interface{Netmask: 16})))},
		"the length of a prefix":    {"nodes: {n1: {network devices: {default: {netmask: 16}}}}", nodes(settings("n1", port(fleet.Interface{Netmask: 16})))},
		"numbers in quotes":         {"nodes: {n1: {network devices: {default: {mtu: '9000'}}}}", nodes(settings("n1", port(fleet.Interface{MTU: 9000})))},
		"truth in quotes":           {"nodes: {n1: {network devices: {default: {onboot: 'yes'}}}}", nodes(settings("n1", port(fleet.Interface{OnBoot: &yes})))},
		"untruth":                   {"nodes: {n1: {network devices: {default: {onboot: False}}}}", nodes(settings("n1", port(fleet.Interface{OnBoot: &no})))},
		"a MAC with hyphens":        {"nodes: {n1: {interfaces: {default: {mac: 52-54-00-12-34-5A}}}}", nodes(settings("n1", port(fleet.Interface{MAC: fleet.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x5a}})))},
		"nothing said":              {"nodes: {n1: {init: ~, rack: '', network devices: {default: {ipaddr: , mtu: null}}, tags: {}, profiles: []}}", nodes(settings("n1", port(fleet.Interface{})))},
		"tags that are empty":       {"nodes: {n1: {tags: {a: '', b: , c: ~}}}", nodes(settings("n1", fleet.Settings{Tags: map[string]string{"a": "", "b": "", "c": ""}}))},
		"tags that look otherwise":  {"nodes: {n1: {tags: {a: 1, b: true, 5: 1.50}}}", nodes(settings("n1", fleet.Settings{Tags: map[string]string{"a": "1", "b": "true", "5": "1.50"}}))},
		"parts in order":            {"nodes: {n1: {interfaces: {b: , a: }}}", nodes(settings("n1", fleet.Settings{Interfaces: []fleet.Interface{{Name: "a"}, {Name: "b"}}}))},
		"a secret":                  {"nodes: {n1: {ipmi: {password: s}}}", nodes(settings("n1", fleet.Settings{BMC: fleet.BMC{Password: fleet.Secret("s")}}))},
		"a secret that is cleared":  {"nodes: {n1: {ipmi: {password: ''}}}", nodes(settings("n1", fleet.Settings{BMC: fleet.BMC{Password: fleet.Secret{}}}))},
		"a secret that is not said": {"nodes: {n1: {ipmi: {password: }}}", nodes(fleet.Node{Name: "n1"})},
		"a time":                    {"nodes: {n1: {discoverable: 2026-01-31T18:00:00+01:00}}", nodes(fleet.Node{Name: "n1", Discover: time.Date(2026, 1, 31, 17, 0, 0, 0, time.UTC)})},
		"no time":                   {"nodes: {n1: {discoverable: 'false'}}", nodes(fleet.Node{Name: "n1"})},
		"disks": {"nodes: {n1: {disks: {/dev/sda: {wipe_table: true, partitions: {root: {number: '1'}, swap: {size_mib: 512}}}}}}", nodes(settings("n1", fleet.Settings{Disks: []fleet.Disk{{
			Device: "/dev/sda", WipeTable: &yes, Partitions: []fleet.Partition{{Label: "root", Number: 1}, {Label: "swap", SizeMiB: 512}}}}}))},
		"resources": {"nodes: {n1: {resources: {a: {z: 1, b: [x, 2.50, ~, true, {}, []]}, n: 0o17, m: 0755, big: 123456789012345678901234567890, t: '1', e: 1e3}}}", nodes(settings("n1", fleet.Settings{Resources: map[string]fleet.Resource{
			"a": `{"b":["x",2.50,null,true,{},[]],"z":1}`, "n": "15", "m": "493", "big": "123456789012345678901234567890", "t": `"1"`, "e": "1e3"}}))},
		"keys merged": {"nodes:\n  a: &a {rack: r1, init: /i, tags: {x: '1'}}\n  b: {<<: *a, rack: r2}\n  c: {<<: [{rack: r3}, *a]}\n",
			nodes(settings("a", inRack("r1")), settings("b", inRack("r2")), settings("c", inRack("r3")))},
		"networks": {"networks: {b: {subnet: 10.1.0.0/16, gateway: 10.1.0.1, dns: [10.1.0.2], domain: d, dhcp: proxy, discovery: 10.1.9.1-10.1.9.9}}", Documents{Networks: []fleet.Network{{
			Name: "b", Subnet: netip.MustParsePrefix("10.1.0.0/16"), Gateway: netip.MustParseAddr("10.1.0.1"), DNS: []netip.Addr{netip.MustParseAddr("10.1.0.2")}, Domain: "d",
			DHCP: fleet.DHCPProxy, Discovery: fleet.Range{First: netip.MustParseAddr("10.1.9.1"), Last: netip.MustParseAddr("10.1.9.9")}}}}},
		"the cluster":                          {"cluster: {authorized keys: [k a], seeding: {node_upload: 65536, pause file: /p}}", Documents{Cluster: &fleet.ClusterSettings{AuthorizedKeys: []string{"k a"}, Seeding: fleet.Seeding{NodeUpload: 65536, PauseFile: "/p"}}}},
		"an empty cluster":                     {"cluster: {}", Documents{Cluster: &fleet.ClusterSettings{}}},
		"names in the order that people count": {"nodes: {n10: , n9: , m: }", nodes(fleet.Node{Name: "m"}, fleet.Node{Name: "n9"}, fleet.Node{Name: "n10"})},
	} {
		t.Run(phrase, func(t *testing.T) {
			got, err := Parse(File{"f", []byte(c.text)})
			if err != nil {
				t.Fatalf("Parse(%q): %v", c.text, err)
			}
			if diff := differences(got, c.want); diff != "" {
				t.Errorf("Parse(%q):\n%s", c.text, diff)
			}
		})
	}
}

func TestParseCountsAddressesOfARange(t *testing.T) {
	const text = `
nodes:
  n[1-3]:
    rack: r1
    network devices:
      a: {ipaddr: 10.1.0.254, ipaddr6: "fd00::ff"}
      b: {ipaddr: 10.2.0.254, netmask: 255.255.0.0}
      c: {ipaddr: 10.4.0.1, netmask: 255.255.255.0, gateway: 10.4.0.2}
    ipmi: {ipaddr: 10.9.0.254}
`
	small := File{"g", []byte("networks: {net: {subnet: 10.1.0.0/24, gateway: 10.1.0.1, dhcp: full}}")}
	_, err := Parse(File{"f", []byte(text)}, small)
	want := "f:6:11: nodes.n[1-3].network devices.a.ipaddr: bad address 10.1.0.254: 3 addresses from there on leave 10.1.0.0/24"
	if err == nil || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	large := File{"g", []byte("networks: {net: {subnet: 10.0.0.0/14, dhcp: full}}")}
	d, err := Parse(File{"f", []byte(text)}, large)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range d.Nodes {
		got = append(got, strings.TrimSpace(fmt.Sprintln(n.Name, n.Interfaces[0].IP, n.Interfaces[0].IP6, n.Interfaces[1].IP, n.Interfaces[2].IP, n.BMC.Address)))
	}
	if diff := cmp.Diff([]string{
		"n1 10.1.0.254 fd00::ff 10.2.0.254 10.4.0.1 10.9.0.254",
		"n2 10.1.0.255 fd00::100 10.2.0.255 10.4.0.3 10.9.1.1",
		"n3 10.1.1.0 fd00::101 10.2.1.0 10.4.0.4 10.9.1.2",
	}, got); diff != "" {
		t.Error(diff)
	}
}

// TestNodesOfARangeShareNothing changes one node, and looks at the next.
func TestNodesOfARangeShareNothing(t *testing.T) {
	const text = "nodes: {'n[1-2]': {profiles: [p], kernel args: [a], tags: {a: b}, interfaces: {d: {onboot: true, tags: {c: d}}}}}"
	d, err := Parse(File{"f", []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	one, two := &d.Nodes[0], &d.Nodes[1]
	one.Profiles[0], one.KernelArgs[0], one.Tags["a"], *one.Interfaces[0].OnBoot, one.Interfaces[0].Tags["c"] = "x", "x", "x", false, "x"
	if two.Profiles[0] != "p" || two.KernelArgs[0] != "a" || two.Tags["a"] != "b" || !*two.Interfaces[0].OnBoot || two.Interfaces[0].Tags["c"] != "d" {
		t.Errorf("the second node has what the first was changed to: %+v", two)
	}
}
