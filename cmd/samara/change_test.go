package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/internal/api"
)

// addressed returns what became of n nodes that got an image, and an address each.
func addressed(n int) []api.Difference {
	var all []api.Difference
	for i := range n {
		all = append(all, api.Difference{Kind: "node", Name: fmt.Sprintf("n%d", i+1), Action: "set", Fields: []api.Field{
			{Name: "image", Was: "debian", Is: "noble", Needs: "reboot"},
			{Name: "interfaces.default.ip", Is: fmt.Sprintf("10.1.0.%d", i+1), Needs: "reboot"},
		}})
	}
	return all
}

func TestChangesAreFolded(t *testing.T) {
	rack := func(name, was, is string) api.Difference {
		return api.Difference{Kind: "node", Name: name, Action: "set", Fields: []api.Field{{Name: "rack", Was: was, Is: is}}}
	}
	for what, c := range map[string]struct {
		change api.Change
		want   string
	}{
		"nothing": {api.Change{}, "nothing to change"},
		"few with addresses": {api.Change{Changed: addressed(2)},
			"set node n1: image debian -> noble, default.ip 10.1.0.1; needs a reboot\nset node n2: image debian -> noble, default.ip 10.1.0.2; needs a reboot"},
		"many with addresses": {api.Change{Changed: addressed(100)},
			"set node n[1-100]: image debian -> noble, default.ip 10.1.0.1 … 10.1.0.100; needs a reboot"},
		"alike": {api.Change{Changed: []api.Difference{rack("n1", "r1", "r2"), rack("n3", "r3", "r2"), rack("n2", "r1", "r2")}},
			"set node n[1-2]: rack r1 -> r2\nset node n3: rack r3 -> r2"},
		"by profiles": {api.Change{DryRun: true,
			Changed: []api.Difference{{Kind: "profile", Name: "gpu", Action: "set", Fields: []api.Field{{Name: "tags.x", Was: "1", Needs: "refresh"}}}},
			Effects: []api.Effect{{Nodes: []string{"n1", "n2"}, Fields: []api.Field{{Name: "tags.x", Was: "1", Needs: "refresh"}}}}},
			"would set profile gpu: no tags.x (was 1); needs a refresh\nby profiles, node n[1-2]: no tags.x (was 1); needs a refresh"},
		"by profiles, beside what is said already": {api.Change{
			Changed: []api.Difference{{Kind: "node", Name: "n1", Action: "set", Fields: []api.Field{{Name: "profiles", Was: "gpu", Is: "a"}, {Name: "rack", Was: "r1"}}}},
			Effects: []api.Effect{{Nodes: []string{"n1"}, Fields: []api.Field{{Name: "init", Was: "/i", Needs: "reboot"}, {Name: "profiles", Was: "gpu", Is: "a"}, {Name: "rack", Was: "r1"}}}}},
			"set node n1: profiles gpu -> a, no rack (was r1)\nby profiles, node n1: no init (was /i); needs a reboot"},
		"of all kinds": {api.Change{Changed: []api.Difference{{Kind: "node", Name: "n1", Action: "add"}, {Kind: "node", Name: "n2", Action: "add"},
			{Kind: "profile", Name: "a", Action: "delete"}, {Kind: "profile", Name: "b", Action: "delete"}}},
			"added node n[1-2]\ndeleted profile a,b"},
	} {
		var out strings.Builder
		if err := writeChange(&out, c.change); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want+"\n", out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

func TestListsAreFolded(t *testing.T) {
	var all []listed
	for i := range 1000 {
		all = append(all, listed{name: fmt.Sprintf("n%04d", i), state: []string{"ready", "failing"}[min(1, i/999)]})
	}
	l := listing{[]string{"STATE"}, func(n *listed) [][]string { return [][]string{{n.state}} }}
	folded, rows := foldedTable(nodes(), all, l), unfoldedTable(all, l)
	if want := [][]string{{"n[0000-0998]", "ready"}, {"n0999", "failing"}}; cmp.Diff(want, folded.rows) != "" || len(rows.rows) != len(all) || rows.head[1] != "state" {
		t.Errorf("folded to %v, and unfolded to %d rows under %v", folded.rows, len(rows.rows), rows.head)
	}
}

func TestNamesInPaths(t *testing.T) {
	for pattern, c := range map[string][2]string{
		"tags.*":                        {"tags.role", "role"},
		"interfaces.*.mac":              {"interfaces.ib0.mac", "ib0"},
		"disks.*.partitions.*.size_mib": {"disks./dev/sda.partitions.root.size_mib", "/dev/sda.root"},
		"interfaces.*.tags.*":           {"interfaces.default.tags.DNS1", "default.DNS1"},
	} {
		if got := namesIn(pattern, c[0]); got != c[1] {
			t.Errorf("%s in %s: %q, want %q", pattern, c[0], got, c[1])
		}
	}
}
