package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// moves returns differences of nodes that get addresses, and an image with them.
func moves(n int) []api.Difference {
	var all []api.Difference
	for i := range n {
		all = append(all, api.Difference{Kind: "node", Name: fmt.Sprintf("n%d", i+1), Action: "set", Fields: []api.Field{
			{Name: "interfaces.default.ip", Was: fmt.Sprintf("10.0.0.%d", i+1), Is: fmt.Sprintf("10.1.0.%d", i+1), Needs: "reboot"},
			{Name: "image", Is: "debian", Needs: "reboot"},
		}})
	}
	return all
}

func reversed(all []api.Difference) []api.Difference {
	slices.Reverse(all)
	return all
}

func TestPlansFoldWhatIsAlike(t *testing.T) {
	for about, c := range map[string]struct {
		changed []api.Difference
		effects []api.Effect
		want    []string
	}{
		"few nodes have a block each":    {moves(2), nil, []string{"set node n1\n", "10.0.0.1 -> 10.1.0.1 ", "set node n2\n", "set 2 nodes", "a reboot of n[1-2]"}},
		"many have one":                  {moves(9), nil, []string{"set node n[1-9]\n", "10.0.0.1 … 10.0.0.9 -> 10.1.0.1 … 10.1.0.9 ", "set 9 nodes"}},
		"their ends are as people count": {reversed(moves(11)), nil, []string{"set node n[1-11]\n", "10.0.0.1 … 10.0.0.11 -> "}},
		"what is told is not repeated": {moves(1), []api.Effect{{Nodes: []string{"n1"}, Fields: append(moves(1)[0].Fields, api.Field{Name: "init", Is: "/x", Needs: "refresh"})}},
			[]string{"node n1, by profiles\n    init  /x  (refresh)\n\n", "a reboot of n1\n"}},
		"a node that is told wholly": {moves(1), []api.Effect{{Nodes: []string{"n1"}, Fields: moves(1)[0].Fields}}, []string{"(reboot)\n\nplan at revision 7: set 1 node\n"}},
		"a refresh is enough": {nil, []api.Effect{{Nodes: []string{"n2", "n1"}, Fields: []api.Field{{Name: "tags.a", Is: "b", Needs: "refresh"}}}},
			[]string{"a refresh of n[1-2]\n"}},
		"what is new does not run": {[]api.Difference{{Kind: "node", Name: "n1", Action: "add", Fields: []api.Field{{Name: "image", Is: "debian", Needs: "reboot"}}}}, nil,
			[]string{"add node n1\n    image  debian\n\nplan at revision 7: add 1 node\n"}},
		"values that look like several": {[]api.Difference{
			{Kind: "profile", Name: "a", Action: "add", Fields: []api.Field{{Name: "comment", Is: "x, init /y"}}},
			{Kind: "profile", Name: "b", Action: "add", Fields: []api.Field{{Name: "comment", Is: "x"}, {Name: "init", Is: "/y"}}},
		}, nil, []string{"add profile a\n", "add profile b\n", "add 2 profiles"}},
		"nothing": {nil, nil, []string{"nothing to change\n"}},
	} {
		var b strings.Builder
		if err := writePlan(&b, api.Change{Revision: 7, DryRun: true, Changed: c.changed, Effects: c.effects}); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in\n%s", about, want, b.String())
			}
		}
	}
}

func TestQuotedFieldIsWhatARefusalMeans(t *testing.T) {
	n := fleet.Node{Name: "n1", Comment: "gateway", Profiles: []string{"default", "gpu"}, Settings: fleet.Settings{
		KernelArgs: []string{"quiet", "root=x"}, Tags: map[string]string{"a": "interface"},
		Interfaces: []fleet.Interface{{Name: "default", IP: netip.MustParseAddr("10.1.0.1")}, {Name: "ib", IP: netip.MustParseAddr("10.1.0.11")}},
	}}
	for text, want := range map[string]string{
		`: interface default: address 10.1.0.1 already exists: node n2 has it`:  "interfaces.default.ip",
		`: interface ib: address 10.1.0.11 already exists: node n2 has it`:      "interfaces.ib.ip",
		`: interface ib: MTU of 3: want 68 or more`:                             "interfaces.ib",
		`: BMC: address 10.1.0.1: interface default has it`:                     "bmc",
		`: kernel argument "root=x": Samara sets root itself`:                   "kernel_args",
		`: profile gpu: not found`:                                              "profiles",
		`: the gateway of an interface is bad`:                                  "",
		`: kernel arguments: 1400 characters in all, at most 1300`:              "",
		`: address 110.1.0.1 is none, and 10.1.0.111 neither; gpus are nothing`: "",
	} {
		if got := quotedField(fleet.Object{Node: &n}, text); got != want {
			t.Errorf("%q is of field %q, want %q", text, got, want)
		}
	}
	network := fleet.Network{Name: "boot", Subnet: netip.MustParsePrefix("10.1.0.0/24"), Gateway: netip.MustParseAddr("10.2.0.1"), DHCP: fleet.DHCPFull}
	if got := quotedField(fleet.Object{Network: &network}, ": bad gateway: address 10.2.0.1: outside network boot (10.1.0.0/24)"); got != "gateway" {
		t.Errorf("a network's refusal is of field %q, want gateway", got)
	}
}
