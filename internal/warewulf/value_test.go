package warewulf

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

func TestSpellings(t *testing.T) {
	mask := func(text string) string {
		site := readText(t, "nodes: {n1: {network devices: {default: {netmask: "+text+"}}}}", "")
		return site.Documents.Nodes[0].Interfaces[0].Netmask.String()
	}
	for text, want := range map[string]string{"255.255.0.0": "255.255.0.0", "16": "255.255.0.0", "/16": "255.255.0.0", "0xffff0000": "255.255.0.0",
		"0.0.0.0": "", "255.0.255.0": "", "0": "", "33": "", "UNSET": "", "''": "", "[]": ""} {
		if got := mask(text); got != want {
			t.Errorf("netmask %s: got %q, want %q", text, got, want)
		}
	}
	onboot := func(text string) string {
		site := readText(t, "nodes: {n1: {network devices: {default: {onboot: "+text+"}}}}", "")
		if b := site.Documents.Nodes[0].Interfaces[0].OnBoot; b != nil {
			return fmt.Sprint(*b)
		}
		return ""
	}
	for text, want := range map[string]string{"true": "true", "'true'": "true", "Yes": "true", "1": "true", "no": "false", "'False'": "false", "off": "false",
		"UNDEF": "", "perhaps": "", "{}": ""} {
		if got := onboot(text); got != want {
			t.Errorf("onboot %s: got %q, want %q", text, got, want)
		}
	}
	mac := func(text string) string {
		site := readText(t, "nodes: {n1: {network devices: {default: {hwaddr: '"+text+"'}}}}", "")
		return site.Documents.Nodes[0].Interfaces[0].MAC.String()
	}
	for text, want := range map[string]string{"52:54:00:AB:cd:01": "52:54:00:ab:cd:01", "52-54-00-ab-cd-01": "52:54:00:ab:cd:01", "5254.00ab.cd01": "52:54:00:ab:cd:01",
		"525400abcd01": "52:54:00:ab:cd:01", "00:00:00:00:00:00": "", "ff:ff:ff:ff:ff:ff": "", "52:54": ""} {
		if got := mac(text); got != want {
			t.Errorf("hwaddr %s: got %q, want %q", text, got, want)
		}
	}
	version := func(text string) string {
		return readText(t, "nodes: {n1: {kernel: {version: '"+text+"'}}}", "").Documents.Nodes[0].KernelVersion
	}
	for text, want := range map[string]string{"5.14.0": "5.14.0", "/boot/vmlinuz-6.8.0-1": "6.8.0-1", "/lib/modules/6.8.0/vmlinuz": "6.8.0", "newest": "", "/boot/vmlinuz": ""} {
		if got := version(text); got != want {
			t.Errorf("kernel version %s: got %q, want %q", text, got, want)
		}
	}
}

func TestNamesStayApart(t *testing.T) {
	d := newDictionary(names("node"), []string{"n1", "N1", "n1.", "N_1", "n-1", "a.x", "b.x", "b.y", strings.Repeat("long", 30), "ü", "--"})
	seen := map[string]string{}
	for _, was := range slices.Sorted(maps.Keys(d)) {
		name := d[was]
		if err := fleet.CheckName("node", name); err != nil {
			t.Errorf("%s became %s: %v", was, name, err)
		}
		if other, taken := seen[name]; taken {
			t.Errorf("%s and %s both became %s", other, was, name)
		}
		seen[name] = was
	}
	for was, want := range map[string]string{"n1": "n1", "n-1": "n-1", "a.x": "a", "b.x": "b-x", "b.y": "b-y"} {
		if d[was] != want {
			t.Errorf("%s became %s, want %s", was, d[was], want)
		}
	}
	if p := newDictionary(profileNamesOf(), []string{"profile_a", "node", "has blank"}); p["profile_a"] != "profile_a" || p["node"] == "node" || p["has blank"] != "has-blank" {
		t.Errorf("profiles: got %v", p)
	}
}

func TestNetworksAreThoseOfTheSite(t *testing.T) {
	const nodes = "nodes:\n  n1: {network devices: {default: {%s}}}\n  n2: {network devices: {default: {%s}}}\n"
	for about, c := range map[string]struct{ server, n1, n2, want, masks string }{
		"as warewulf.conf says": {"ipaddr: 10.0.0.1\nnetmask: 255.255.252.0\n", "ipaddr: 10.0.1.1", "ipaddr: 10.0.2.1", "boot 10.0.0.0/22", " "},
		"with its length":       {"ipaddr: 10.0.0.1/22\n", "ipaddr: 10.0.1.1", "ipaddr: 10.0.2.1", "boot 10.0.0.0/22", " "},
		"by its first address":  {"ipaddr: 10.0.9.1\nnetwork: 10.0.0.0\nnetmask: 255.255.252.0\n", "ipaddr: 10.0.1.1", "ipaddr: 10.0.2.1", "boot 10.0.0.0/22", " "},
		"without warewulf.conf": {"", "ipaddr: 10.0.1.1, netmask: 255.255.0.0", "ipaddr: 10.0.2.1", "default 10.0.0.0/16", "255.255.0.0 "},
		"a narrower mask":       {"ipaddr: 10.0.0.1/22\n", "ipaddr: 10.0.1.1, netmask: 255.255.255.0", "ipaddr: 10.0.2.1", "boot 10.0.0.0/22", "255.255.252.0 "},
		"a wider mask":          {"ipaddr: 10.0.0.1/24\n", "ipaddr: 10.0.1.1, netmask: 255.255.0.0", "ipaddr: 10.0.0.2, netmask: 255.255.255.0", "boot 10.0.0.0/16", "255.255.0.0 255.255.0.0"},
		"two networks":          {"ipaddr: 10.0.0.1/24\n", "ipaddr: 10.0.0.2", "ipaddr: 10.9.0.2, netmask: 255.255.255.0", "boot 10.0.0.0/24, default 10.9.0.0/24", " 255.255.255.0"},
		"no mask at all":        {"", "ipaddr: 10.0.1.1", "ipaddr: 10.0.2.1", "default 10.0.1.0/24, default-2 10.0.2.0/24", " "},
		"a loopback address":    {"ipaddr: 10.0.0.1/24\n", "ipaddr: 127.0.0.1, netmask: 255.0.0.0", "ipaddr: 10.0.0.2", "boot 10.0.0.0/24", "255.0.0.0 "},
		"no network at all":     {"netmask: 255.255.255.0\n", "mtu: 1500", "mtu: 9000", "", " "},
	} {
		t.Run(about, func(t *testing.T) {
			site := readText(t, fmt.Sprintf(nodes, c.n1, c.n2), c.server)
			var got []string
			for _, n := range site.Documents.Networks {
				got = append(got, n.Name+" "+n.Subnet.String())
				if n.DHCP != fleet.DHCPOff {
					t.Errorf("network %s: DHCP is %s before anybody asked for it", n.Name, n.DHCP)
				}
			}
			if got := strings.Join(got, ", "); got != c.want {
				t.Errorf("networks %q, want %q", got, c.want)
			}
			ns := site.Documents.Nodes
			if got := ns[0].Interfaces[0].Netmask.String() + " " + ns[1].Interfaces[0].Netmask.String(); got != c.masks {
				t.Errorf("netmasks %q, want %q", got, c.masks)
			}
			apply(t, cluster(t, site), site.Documents.Edit())
		})
	}
}

func TestThePoolIsTheRangeIfItIsFree(t *testing.T) {
	const server = "ipaddr: 10.0.0.1/24\ndhcp: {range start: %s, range end: %s}\n"
	for about, c := range map[string]struct{ first, last, node, want, suggested string }{
		"free":                  {"10.0.0.100", "10.0.0.199", "10.0.0.10", "10.0.0.100-10.0.0.199", ""},
		"a node in it":          {"10.0.0.100", "10.0.0.199", "10.0.0.110", "", "10.0.0.111-10.0.0.199"},
		"the server in it":      {"10.0.0.1", "10.0.0.199", "10.0.0.250", "", "10.0.0.2-10.0.0.199"},
		"beyond the network":    {"10.0.0.200", "10.0.1.50", "10.0.0.10", "", "10.0.0.200-10.0.0.254"},
		"of another network":    {"10.9.0.1", "10.9.0.9", "10.0.0.10", "", ""},
		"backwards":             {"10.0.0.199", "10.0.0.100", "10.0.0.10", "", ""},
		"one address, a node's": {"10.0.0.10", "10.0.0.10", "10.0.0.10", "", ""},
	} {
		t.Run(about, func(t *testing.T) {
			site := readText(t, "nodes: {n1: {network devices: {default: {ipaddr: "+c.node+"}}}}", fmt.Sprintf(server, c.first, c.last))
			if got := site.Documents.Networks[0].Discovery.String(); got != c.want {
				t.Errorf("pool %q, want %q", got, c.want)
			}
			report, err := json.Marshal(site.Report)
			if err != nil {
				t.Fatal(err)
			}
			if c.suggested != "" && !strings.Contains(string(report), "--discovery "+c.suggested) {
				t.Errorf("the report does not suggest %s:\n%s", c.suggested, findings(site, Left))
			}
		})
	}
}
