package warewulf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
)

func TestHostsAreNodes(t *testing.T) {
	const file = `# /etc/hosts
127.0.0.1 localhost
::1 localhost
10.0.0.1   head.example.org head
10.0.0.11  n1.example.org n1 n1-default # the first
10.0.1.11  n1-bmc
10.9.0.11  n1-ib0
2001:db8::11 n1
fe80::1    n1
10.0.0.12  N2
10.0.0.13  n2
10.0.0.14  bad_name
10.0.1.13  alone-ipmi
`
	all, err := ReadHosts("hosts", []byte(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range all.Documents.Nodes {
		line := n.Name
		for _, i := range n.Interfaces {
			line += fmt.Sprintf(" %s=%s", i.Name, i.IP)
			if i.IP6.IsValid() {
				line += "," + i.IP6.String()
			}
		}
		if n.BMC.Address.IsValid() {
			line += " bmc=" + n.BMC.Address.String()
		}
		got = append(got, line)
	}
	if diff := cmp.Diff([]string{
		"alone-ipmi default=10.0.1.13",
		"head default=10.0.0.1",
		"n1 default=10.0.0.11,2001:db8::11 ib0=10.9.0.11 bmc=10.0.1.11",
		"n2 default=10.0.0.12",
	}, got); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	left := findings(all, Left)
	for _, want := range []string{"hosts:11: node n2: address: a second address of the node, 10.0.0.13", "hosts:12: name: refused"} {
		if !strings.Contains(left, want) {
			t.Errorf("what is left does not have %q:\n%s", want, left)
		}
	}
	some, err := ReadHosts("hosts", []byte(file), []string{"n1"})
	if err != nil || len(some.Documents.Nodes) != 1 || some.Documents.Nodes[0].Name != "n1" {
		t.Errorf("of n1 alone: got %v, %v", some.Documents.Nodes, err)
	}
	if at, ok := all.Where("node", "n1", "bmc.address"); !ok || at.Line != 6 {
		t.Errorf("n1's BMC stands at %+v, %v", at, ok)
	}
	if _, err := ReadHosts("hosts", []byte("10.0.0.1 a\nnonsense\n"), nil); err == nil || !strings.HasPrefix(err.Error(), "hosts:2: ") {
		t.Errorf("a line that is wrong: got %v", err)
	}
}

func TestTablesAreNodes(t *testing.T) {
	site, err := ReadCSV("nodes.csv", []byte(`# made by hand
name,mac,ipaddr,interfaces.ib0.ip,netmask,image,kernel.args,profiles,rack,tags.owner,bmc.address,ipmi.password,disks./dev/sda.wipe_table,resources.fstab,onboot
n2,52:54:00:00:00:02,10.0.0.2,10.9.0.2,/24,debian:2,"quiet console=ttyS0","default ~gpu",r1,"ops, east",10.0.1.2,canary,yes,"[{""file"": ""/home""}]",no
n1,,,,,,,,,,,,,,
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(site.Documents.Nodes) != 2 || site.Documents.Nodes[0].Name != "n1" {
		t.Fatalf("nodes %v", site.Documents.Nodes)
	}
	n := site.Documents.Nodes[1]
	if string(n.BMC.Password) != "canary" {
		t.Error("the password is not there")
	}
	yes, no := true, false
	want := fleet.Node{Name: "n2", Profiles: []string{"default", "~gpu"}, Settings: fleet.Settings{Image: fleet.ImageRef{Name: "debian", Version: 2},
		KernelArgs: []string{"quiet", "console=ttyS0"}, Rack: "r1", Tags: map[string]string{"owner": "ops, east"},
		Resources: map[string]fleet.Resource{"fstab": `[{"file":"/home"}]`}, Disks: []fleet.Disk{{Device: "/dev/sda", WipeTable: &yes}},
		Interfaces: []fleet.Interface{{Name: "default", MAC: fleet.MAC{0x52, 0x54, 0, 0, 0, 2}, Netmask: 24, OnBoot: &no}, {Name: "ib0"}}}}
	n.BMC, n.Interfaces[0].IP, n.Interfaces[1].IP = fleet.BMC{}, want.Interfaces[0].IP, want.Interfaces[1].IP
	if diff := cmp.Diff(encode(t, want), encode(t, n)); diff != "" {
		t.Errorf("n2 (-want +got):\n%s", diff)
	}
	if got := site.Documents.Nodes[1].BMC.Address.String(); got != "10.0.1.2" {
		t.Errorf("address of the BMC %s", got)
	}
	if at, ok := site.Where("node", "n2", "rack"); !ok || at.Line != 3 {
		t.Errorf("n2 stands at %+v, %v", at, ok)
	}
}

func TestFaultyTablesAreSaidWithTheirCells(t *testing.T) {
	for about, c := range map[string]struct{ file, want string }{
		"nothing":          {"", "nodes.csv: bad table: it is empty; want a row with the names of columns"},
		"no names":         {"rack\nr1\n", "nodes.csv:1:1: want a column with the names of nodes; did you mean name?"},
		"an unknown field": {"name,kernel_arg\nn1,x\n", "nodes.csv:1:6: kernel_arg: there is no such field of nodes; did you mean kernel_args?"},
		"a column twice":   {"name,mac,hwaddr\n", "nodes.csv:1:10: hwaddr: two columns for one field"},
		"a bad address":    {"name,mac\nn1,52\n", "nodes.csv:2:4: mac: "},
		"a bad number":     {"name,mtu\nn1,big\n", `nodes.csv:2:4: mtu: "big" is no number`},
		"a bad name":       {"name\nN1\n", "nodes.csv:2:1: name: "},
		"no name":          {"name,rack\n,r1\n", "nodes.csv:2:1: name: "},
		"a node twice":     {"name\nn1\nn1\n", "nodes.csv:3:1: name: node n1 stands in line 2 already"},
		"a cell too many":  {"name\nn1,x\n", "nodes.csv:2"},
		"a quote too many": {"name\n\"n1\n", "nodes.csv:2"},
	} {
		_, err := ReadCSV("nodes.csv", []byte(c.file))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s…", about, err, c.want)
		}
	}
}

func TestEveryFieldCanBeAColumn(t *testing.T) {
	for _, f := range fleet.Fields() {
		for _, pattern := range []string{f.Path, f.Warewulf} {
			if pattern == "" {
				continue
			}
			head := strings.ReplaceAll(pattern, "*", "x")
			c, _, ok := columnOf(fleet.Fields(), head)
			if !ok || c.field.Path != f.Path {
				t.Errorf("column %s is field %q, want %s", head, c.field.Path, f.Path)
			}
		}
	}
}
