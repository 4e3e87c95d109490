package config

import (
	"errors"
	"strings"
	"testing"
)

func TestParseSaysWhatIsWrong(t *testing.T) {
	for phrase, c := range map[string]struct {
		text string
		want string // lines
	}{
		"syntax":                        {"nodes:\n  n1: [\n", "f:2:8: did not find expected node content while parsing a flow node; the file ends here: close each bracket, brace and quote"},
		"a tab":                         {"nodes:\n\tn1: {}\n", "f:2:1: found character that cannot start any token; want blanks where tabs are, and quotes around such text"},
		"two colons":                    {"nodes: n1: {}\n", `f:1:10: mapping values are not allowed in this context; indent the keys of a mapping alike, and put text that has ": " in quotes`},
		"indentation":                   {"nodes:\n  n1:\n    init: /i\n   rack: r\n", `f:4:4: did not find expected key while parsing a block mapping that begins in line 2; indent what belongs together alike, and put all of a text in quotes, or nothing of it`},
		"more indentation":              {"nodes:\n  n1:\n    init: /i\n      rack: r\n", `f:4:11: mapping values are not allowed in this context; indent the keys of a mapping alike, and put text that has ": " in quotes`},
		"not UTF-8":                     {"nodes:\n  # \xff\n", "f:2:5: byte 0xff is not UTF-8"},
		"an alias of nothing":           {"nodes: {n1: *x}", "f:1:13: unknown anchor 'x' referenced; text that begins with * needs quotes"},
		"an alias within itself":        {"nodes: {n1: &x {tags: *x}}", "f:1:23: *x within what it stands for"},
		"no sections":                   {"- a\n", "f:1:1: a list where the sections nodeprofiles, nodes, networks and cluster are wanted"},
		"a section misspelt":            {"node:\n  n1: {}\n", `f:1:1: unknown section "node"; want nodeprofiles, nodes, networks and cluster; did you mean nodes?`},
		"no section above":              {"network devices: {}\n", `f:1:1: unknown section "network devices"; want nodeprofiles, nodes, networks and cluster; did you mean nodeprofiles.NAME.network devices?`},
		"a node without sections":       {"n1: {}\n", `f:1:1: unknown section "n1"; want nodeprofiles, nodes, networks and cluster`},
		"a list of nodes":               {"nodes: [n1]", "f:1:8: nodes: a list where a mapping is wanted"},
		"text for a node":               {"nodes: {n1: x}", `f:1:13: nodes.n1: "x" where a mapping is wanted`},
		"a key misspelt":                {"nodes:\n  n1:\n    imagename: x\n", `f:3:5: nodes.n1: unknown key "imagename"; did you mean image name?`},
		"a key with two letters turned": {"nodes: {n1: {kernel: {agrs: [a]}}}", `f:1:23: nodes.n1.kernel: unknown key "agrs"; did you mean args?`},
		"our key misspelt":              {"nodes: {n1: {interfces: {}}}", `f:1:14: nodes.n1: unknown key "interfces"; did you mean network devices?`},
		"a key from elsewhere":          {"nodes: {n1: {ipaddr: 10.1.0.1}}", `f:1:14: nodes.n1: unknown key "ipaddr"; did you mean network devices.NAME.ipaddr?`},
		"a key of older releases":       {"nodes: {n1: {container name: x}}", `f:1:14: nodes.n1: unknown key "container name"; did you mean image name?`},
		"a key that has no meaning":     {"nodes: {n1: {ipxe template: x}}", `f:1:14: nodes.n1: Samara writes boot scripts itself; leave the key out`},
		"a key of another section":      {"nodeprofiles: {p: {subnet: 10.1.0.0/16}}\nnetworks: {b: {rack: r}}\ncluster: {pause_file: /x}", "f:1:20: nodeprofiles.p: unknown key \"subnet\"; did you mean networks.NAME.subnet?\nf:2:16: networks.b: unknown key \"rack\"; did you mean nodeprofiles.NAME.rack?\nf:3:11: cluster: unknown key \"pause_file\"; did you mean seeding.pause_file?"},
		"a key like none":               {"nodes: {n1: {flavour: x}}", `f:1:14: nodes.n1: unknown key "flavour"`},
		"a key twice":                   {"nodes:\n  n1: {rack: a, rack: b}\n", `f:2:17: nodes.n1: key "rack" says what "rack" in line 2 says already; say it once`},
		"two names of a key":            {"nodes: {n1: {ipmi: {},\n bmc: {}}}", `f:2:2: nodes.n1: key "bmc" says what "ipmi" in line 1 says already; say it once`},
		"two ways to a field":           {"nodes: {n1: {kernel: {version: '5'}, kernel_version: '6'}}", `f:1:38: nodes.n1.kernel_version: another key says this already; say it once`},
		"a node twice":                  {"nodes: {n2: , 'n[1-3]': }", `f:1:15: nodes.n[1-3]: node n2 stands at f:1:9 already; say all of it in one place`},
		"the cluster twice":             {"cluster: {}\n---\ncluster: {}\n", `f:3:1: cluster: cluster stands at f:1:1 already; say all of it in one place`},
		"a range backwards":             {"nodes: {'n[3-1]': }", `f:1:9: nodes.n[3-1]: bad node list "n[3-1]": position 3: range 3-1 runs backwards; want the smaller number first`},
		"a range with one MAC":          {"nodes:\n  n[1-2]:\n    interfaces:\n      default:\n        mac: 52:54:00:12:34:56\n", `f:5:9: nodes.n[1-2].network devices.default.hwaddr: MAC address 52:54:00:12:34:56 for each of 2 nodes; give each node its own`},
		"a fault of a range, once":      {"nodes: {'n[1-9]': {mtu: 1}}", `f:1:20: nodes.n[1-9]: unknown key "mtu"; did you mean network devices.NAME.mtu?`},
		"no address":                    {"nodes: {n1: {network devices: {d: {ipaddr: 10.0.0}}}}", `f:1:44: nodes.n1.network devices.d.ipaddr: "10.0.0" where an address such as 10.1.0.5 is wanted`},
		"an address with its prefix":    {"nodes: {n1: {network devices: {d: {ipaddr: 10.0.0.1/24}}}}", `f:1:44: nodes.n1.network devices.d.ipaddr: bad address "10.0.0.1/24": want it without the length of a prefix, which is another field's`},
		"an address with a zone":        {"nodes: {n1: {network devices: {d: {ipaddr6: 'fe80::1%eth0'}}}}", `f:1:45: nodes.n1.network devices.d.ipaddr6: "fe80::1%eth0" where an address such as 10.1.0.5 is wanted`},
		"no mask":                       {"nodes: {n1: {network devices: {d: {netmask: 255.0.255.0}}}}", `f:1:45: nodes.n1.network devices.d.netmask: bad netmask "255.0.255.0": want the form 255.255.255.0, or the length of a prefix from 1 to 32`},
		"no MAC":                        {"nodes: {n1: {network devices: {d: {hwaddr: 1}}}}", `f:1:44: nodes.n1.network devices.d.hwaddr: bad MAC address "1": want the form 52:54:00:12:34:56`},
		"an octal number":               {"nodes: {n1: {network devices: {d: {mtu: 010}}}}", `f:1:41: nodes.n1.network devices.d.mtu: "010" where a number in decimal digits is wanted`},
		"a number too large":            {"nodes: {n1: {upload_limit: 99999999999999999999}}", `f:1:28: nodes.n1.upload_limit: "99999999999999999999" is too large a number`},
		"no truth":                      {"nodes: {n1: {ipmi: {write: maybe}}}", `f:1:28: nodes.n1.ipmi.write: "maybe" where true or false is wanted`},
		"no list":                       {"nodes: {n1: {profiles: default}}", `f:1:24: nodes.n1.profiles: "default" where a list is wanted; write [default]`},
		"a mapping for a list":          {"nodes: {n1: {profiles: {a: b}}}", `f:1:24: nodes.n1.profiles: a mapping where a list is wanted`},
		"an empty item":                 {"nodes: {n1: {profiles: [a, ~]}}", `f:1:24: nodes.n1.profiles: item 2 is empty; want text, in quotes if it is ~`},
		"a list of lists":               {"nodes: {n1: {profiles: [[a]]}}", `f:1:24: nodes.n1.profiles: item 1: a list where text is wanted`},
		"a list for text":               {"nodes: {n1: {init: [a]}}", `f:1:20: nodes.n1.init: a list where text is wanted`},
		"a mapping for a tag":           {"nodes: {n1: {tags: {a: {}}}}", `f:1:24: nodes.n1.tags.a: a mapping where text is wanted`},
		"always discoverable":           {"nodes: {n1: {discoverable: true}}", `f:1:28: nodes.n1.discoverable: bad time "true": want until when, such as 2026-01-31T18:00:00Z, or leave it out and run samara node discover`},
		"a number that JSON lacks":      {"nodes: {n1: {resources: {a: [.inf]}}}", `f:1:29: nodes.n1.resources.a: ".inf" is no number that JSON has; put it in quotes if it is text`},
		"a key twice in a resource":     {"nodes: {n1: {resources: {a: {b: 1, b: 2}}}}", `f:1:29: nodes.n1.resources.a: line 1: key "b" says what "b" in line 1 says already; say it once`},
		"a node's own in a profile":     {"nodeprofiles: {p: {network devices: {d: {hwaddr: x}}, asset key: y}}", "f:1:42: nodeprofiles.p.network devices.d.hwaddr: a profile cannot have it, each node has its own\nf:1:55: nodeprofiles.p.asset key: a profile cannot have it, each node has its own"},
		"no subnet":                     {"networks: {b: {subnet: 10.1.0.0}}", `f:1:24: networks.b.subnet: "10.1.0.0" where a subnet such as 10.1.0.0/16 is wanted`},
		"no range":                      {"networks: {b: {discovery: 10.1.0.0}}", `f:1:27: networks.b.discovery: bad range "10.1.0.0": want FIRST-LAST, two IPv4 addresses`},
		"a key of networks misspelt":    {"networks: {b: {subnett: x}}", `f:1:16: networks.b: unknown key "subnett"; did you mean subnet?`},
		"a merge of text":               {"nodes: {n1: {<<: x}}", `f:1:18: nodes.n1: "x" where << wants a mapping, or a list of mappings`},
		"characters, not bytes":         {"nodes: {n1: {comment: 'äöü', x: 1}}", `f:1:30: nodes.n1: unknown key "x"`},
		"all faults, in order":          {"nodes:\n  n1: {a: 1}\nnetworks:\n  b: {a: 1}\n", "f:2:8: nodes.n1: unknown key \"a\"\nf:4:7: networks.b: unknown key \"a\""},
	} {
		t.Run(phrase, func(t *testing.T) {
			d, err := Parse(File{"f", []byte(c.text)})
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("Parse(%q) = %+v, %v; want faults", c.text, d, err)
			}
			if err.Error() != c.want {
				t.Errorf("Parse(%q):\ngot  %s\nwant %s", c.text, err, c.want)
			}
			if diff := differences(d, Documents{}); diff != "" {
				t.Errorf("Parse(%q) gives documents beside its faults:\n%s", c.text, diff)
			}
		})
	}
}

func TestFaultsAreOfTheirFiles(t *testing.T) {
	_, err := Parse(File{"a", []byte("nodes: {n1: }")}, File{"b", []byte("nodes: {n1: }")}, File{"c", []byte("[")})
	want := "b:1:9: nodes.n1: node n1 stands at a:1:9 already; say all of it in one place\nc:1:2: did not find expected node content while parsing a flow node; the file ends here: close each bracket, brace and quote"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestFaultsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("nodes:\n")
	for range 500 {
		b.WriteString("  n1: {a: 1}\n")
	}
	_, err := Parse(File{"f", []byte(b.String())})
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != maxFaults+1 {
		t.Fatalf("got %d faults; want %d", len(faults), maxFaults+1)
	}
	if last := faults[maxFaults].String(); !strings.Contains(last, "there are more faults; mend these 100 first") {
		t.Errorf("the last fault is %s", last)
	}
}
