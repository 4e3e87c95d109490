package api

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

func putNodes(nodes ...fleet.Node) (e fleet.Edit) {
	for _, n := range nodes {
		e.Puts = append(e.Puts, fleet.Object{Node: &n})
	}
	return e
}

func putProfile(p fleet.Profile) fleet.Edit { return fleet.Edit{Puts: []fleet.Object{{Profile: &p}}} }

// newSite serves what newRig does, with profile gpu, whose BMC has a password, profile all that brings it, and nodes g1 to
// g4 that use them: g4 has an image of its own.
func newSite(t testing.TB) *rig {
	t.Helper()
	rig := newRig(t)
	edit := putProfile(fleet.Profile{Name: "gpu", Settings: fleet.Settings{KernelArgs: []string{"quiet"}, BMC: fleet.BMC{User: "admin", Password: fleet.Secret(canary)}}})
	edit.Puts = append(edit.Puts, fleet.Object{Profile: &fleet.Profile{Name: "all", Profiles: []string{"gpu"}}})
	for i := range 4 {
		n := fleet.Node{Name: fmt.Sprintf("g%d", i+1), Profiles: []string{"all"}}
		if i == 3 {
			n.Image = fleet.ImageRef{Name: "debian", Version: 1}
		}
		edit.Puts = append(edit.Puts, fleet.Object{Node: &n})
	}
	propose(t, rig.memory, edit)
	return rig
}

func TestAChangeOfAProfileTellsItsEffects(t *testing.T) {
	rig := newSite(t)
	c := rig.remote(t, identity.OwnAdmin())
	gpu, err := c.Profile(t.Context(), "gpu")
	if err != nil || !slices.Equal(gpu.Secrets, []string{"bmc.password"}) || gpu.BMC.Password != nil {
		t.Fatalf("Profile: %+v, %v; want it without the password, and that there is one", gpu, err)
	}
	gpu.Image, gpu.Rack = fleet.ImageRef{Name: "debian"}, "r7"
	wants := []Field{{Name: "image", Is: "debian", Needs: "reboot"}, {Name: "rack", Is: "r7"}}
	want := Change{Changed: []Difference{{Kind: "profile", Name: "gpu", Action: "set", Fields: wants}},
		Effects: []Effect{{Nodes: []string{"g1", "g2", "g3"}, Fields: wants}, {Nodes: []string{"g4"}, Fields: wants[1:]}}}
	for _, dry := range []bool{true, false} {
		got, err := c.Edit(t.Context(), putProfile(gpu.Profile), ChangeOptions{DryRun: dry, Why: "new cards"})
		want.DryRun, want.Revision = dry, 4
		if !dry {
			want.Revision = 5
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Edit, dry run %t: %v (-want +got):\n%s", dry, err, diff)
		}
	}
	if p, _ := rig.State().Profile("gpu"); string(p.BMC.Password) != canary {
		t.Error("an edit without the password took it away")
	}
	if n, err := c.Node(t.Context(), "g1"); err != nil || n.Rack != "r7" || !slices.Equal(n.Secrets, []string{"bmc.password"}) {
		t.Errorf("Node g1: %+v, %v; want what its profiles say", n, err)
	}
	if n, err := c.WrittenNode(t.Context(), "g1"); err != nil || n.Rack != "" || n.Secrets != nil {
		t.Errorf("WrittenNode g1: %+v, %v; want what it says itself", n, err)
	}
	// Other profiles have effects as a change of a profile has.
	got, err := c.Edit(t.Context(), putNodes(fleet.Node{Name: "g1"}), ChangeOptions{DryRun: true})
	lost := []Field{{Name: "bmc.password", Was: "(secret)"}, {Name: "bmc.user", Was: "admin"}, {Name: "image", Was: "debian", Needs: "reboot"},
		{Name: "kernel_args", Was: "quiet", Needs: "reboot"}, {Name: "profiles", Was: "all"}, {Name: "rack", Was: "r7"}}
	if diff := cmp.Diff([]Effect{{Nodes: []string{"g1"}, Fields: lost}}, got.Effects); err != nil || diff != "" {
		t.Errorf("a node without profiles: %v (-want +got):\n%s", err, diff)
	}
}

func TestWhatIsExportedChangesNothing(t *testing.T) {
	rig := newSite(t)
	c := rig.local(t)
	before := rig.State()
	all, err := c.Configuration(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Nodes) != 5 || len(all.Profiles) != 2 || len(all.Networks) != 1 || all.Revision != before.Revision() {
		t.Errorf("Configuration: %d nodes, %d profiles, %d networks at %d", len(all.Nodes), len(all.Profiles), len(all.Networks), all.Revision)
	}
	want := []SecretRef{{"profile", "gpu", "bmc.password"}, {"node", "n1", "bmc.password"}}
	if !cmp.Equal(all.Secrets, want) {
		t.Errorf("secrets are at %v, want %v", all.Secrets, want)
	}
	edit := putNodes(all.Nodes...)
	for _, p := range all.Profiles {
		edit.Puts = append(edit.Puts, fleet.Object{Profile: &p})
	}
	for _, n := range all.Networks {
		edit.Puts = append(edit.Puts, fleet.Object{Network: &n})
	}
	edit.Puts = append(edit.Puts, fleet.Object{Cluster: &all.Cluster})
	got, err := c.Edit(t.Context(), edit, ChangeOptions{If: []fleet.Condition{IfRevision(all.Revision)}})
	if err != nil || len(got.Changed) != 0 || len(got.Effects) != 0 {
		t.Errorf("what was exported, put again: %+v, %v; want no change", got, err)
	}
	if n, _ := rig.State().Node("n1"); string(n.BMC.Password) != canary {
		t.Error("a password went with an export")
	}
}

func TestTwoPeopleDoNotOverwriteEachOther(t *testing.T) {
	rig := newSite(t)
	c := rig.local(t)
	all, err := c.Configuration(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := ChangeOptions{If: []fleet.Condition{IfRevision(all.Revision)}}
	if _, err := c.Edit(t.Context(), putNodes(fleet.Node{Name: "g1", Comment: "mine"}), seen); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Edit(t.Context(), putNodes(fleet.Node{Name: "g2", Comment: "yours"}), seen); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("an edit of what another has changed: %v, want ErrConflict", err)
	}
	tag := askPlainly(t, c, "GET", "/v1/configuration", "").Header.Get("ETag")
	body := `{"puts":[{"node":{"name":"g2","comment":"yours"}}]}`
	if got := askPlainly(t, c, "POST", "/v1/configuration", body, ifMatchHeader, tag); got.StatusCode != 200 {
		t.Errorf("an edit of what was just seen: %s %s", got.Status, got.body)
	}
	if got := askPlainly(t, c, "POST", "/v1/configuration", body, ifMatchHeader, tag); got.StatusCode != 412 {
		t.Errorf("an edit of what has changed since: %s %s, want 412", got.Status, got.body)
	}
	if got := askPlainly(t, c, "GET", "/v1/profiles/gpu", ""); got.Header.Get("ETag") != `"profile/gpu@4"` {
		t.Errorf("the ETag of a profile: %s", got.Header.Get("ETag"))
	}
}

func TestEditsThatAreRefused(t *testing.T) {
	rig := newSite(t)
	c := rig.local(t)
	before := rig.State().Revision()
	for what, x := range map[string]struct {
		body string
		says string
	}{
		"nothing":            {`{}`, "names no object"},
		"an unknown field":   {`{"puts":[{"node":{"name":"g9","colour":"red"}}]}`, "colour"},
		"an unknown profile": {`{"puts":[{"node":{"name":"g9","profiles":["cpu"]}}]}`, `profile \"cpu\"`},
		"what is in use":     {`{"deletes":[{"kind":"profile","name":"gpu"}]}`, "profile all"},
		"two in one":         {`{"puts":[{"node":{"name":"g9"},"network":{"name":"x"}}]}`, "object 1"},
		"a bad kind":         {`{"deletes":[{"kind":"image","name":"debian"}]}`, "want node, profile or network"},
	} {
		for _, query := range []string{"", "?dry_run=1"} {
			got := askPlainly(t, c, "POST", "/v1/configuration"+query, x.body)
			if got.StatusCode < 400 || got.StatusCode >= 500 || !strings.Contains(got.body, x.says) {
				t.Errorf("%s%s: %s %s, want a refusal that says %s", what, query, got.Status, got.body, x.says)
			}
		}
	}
	if all, err := c.Configuration(t.Context(), 0); err != nil || len(all.Nodes) != 5 || before == 0 {
		t.Errorf("afterwards there are %d nodes, %v; want 5", len(all.Nodes), err)
	}
}

// TestOneEditHoldsManyNodes puts more in one change than other routes take.
func TestOneEditHoldsManyNodes(t *testing.T) {
	rig := newSite(t)
	c := rig.local(t)
	nodes := make([]fleet.Node, 5000)
	for i := range nodes {
		nodes[i] = fleet.Node{Name: fmt.Sprintf("c%04d", i), Comment: strings.Repeat("many words ", 20), Profiles: []string{"all"}, Settings: fleet.Settings{
			Interfaces: []fleet.Interface{{Name: "default", MAC: fleet.MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}}}}}
	}
	got, err := c.Edit(t.Context(), putNodes(nodes...), ChangeOptions{})
	if err != nil || len(got.Changed) != len(nodes) {
		t.Fatalf("Edit of %d nodes: %d changed, %v", len(nodes), len(got.Changed), err)
	}
	got, err = c.Edit(t.Context(), putProfile(fleet.Profile{Name: "all", Profiles: []string{"gpu"}, Settings: fleet.Settings{Rack: "r1"}}), ChangeOptions{DryRun: true})
	if err != nil || len(got.Effects) != 1 || len(got.Effects[0].Nodes) != len(nodes)+4 {
		t.Errorf("a change of what all use: %d effects, %v; want 1 of all nodes", len(got.Effects), err)
	}
}

func TestHistoryComparisonAndRollback(t *testing.T) {
	rig := newSite(t) // revision 4
	c := rig.remote(t, identity.OwnAdmin())
	ctx := t.Context()
	start, err := c.Configuration(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	edit := putNodes(fleet.Node{Name: "g1", Profiles: []string{"all"}, Settings: fleet.Settings{Rack: "r1"}}, fleet.Node{Name: "g9"})
	edit.Deletes = []fleet.Ref{{Kind: "node", Name: "g2"}}
	edit.Puts = append(edit.Puts, fleet.Object{Cluster: &fleet.ClusterSettings{AuthorizedKeys: []string{"ssh-ed25519 AAAA eve"}}},
		fleet.Object{Network: &fleet.Network{Name: "lab", Subnet: netip.MustParsePrefix("10.2.0.0/24"), DHCP: fleet.DHCPOff}})
	if _, err := c.Edit(ctx, edit, ChangeOptions{Why: "the new rack"}); err != nil {
		t.Fatal(err)
	}
	history, err := c.History(ctx, HistoryQuery{Limit: 1})
	if err != nil || len(history) != 1 {
		t.Fatalf("History: %+v, %v", history, err)
	}
	want := HistoryEntry{Revision: 5, At: history[0].At, Who: "admin/admin", Why: "the new rack", Kind: "config.edit", Changed: []ChangedNames{
		{Kind: "cluster", Action: "set", Names: []string{}}, {Kind: "network", Action: "add", Names: []string{"lab"}}, {Kind: "node", Action: "set", Names: []string{"g1"}},
		{Kind: "node", Action: "delete", Names: []string{"g2"}}, {Kind: "node", Action: "add", Names: []string{"g9"}}}}
	sortChanged := func(all []ChangedNames) {
		slices.SortFunc(all, func(a, b ChangedNames) int { return strings.Compare(a.Kind+a.Action, b.Kind+b.Action) })
	}
	sortChanged(want.Changed)
	sortChanged(history[0].Changed)
	if diff := cmp.Diff(want, history[0]); diff != "" || history[0].At.IsZero() {
		t.Errorf("History (-want +got):\n%s", diff)
	}
	if older, err := c.History(ctx, HistoryQuery{Before: 5}); err != nil || len(older) == 0 || older[0].Revision != 4 {
		t.Errorf("History before 5: %+v, %v; want 4 first", older, err)
	}
	told, err := c.Compare(ctx, 4, 0)
	if err != nil || told.From != 4 || told.To != 5 {
		t.Fatalf("Compare: %+v, %v", told, err)
	}
	var words []string
	for _, d := range told.Changed {
		words = append(words, d.Action+" "+d.Kind+" "+d.Name)
	}
	if diff := cmp.Diff([]string{"set cluster test", "add network lab", "set node g1", "delete node g2", "add node g9"}, words); diff != "" {
		t.Errorf("Compare (-want +got):\n%s", diff)
	}
	if same, err := c.Compare(ctx, 5, 5); err != nil || len(same.Changed) != 0 {
		t.Errorf("Compare of a revision with itself: %+v, %v", same, err)
	}
	if then, err := c.Configuration(ctx, 4); err != nil || !cmp.Equal(then, start, compareOpaque()...) {
		t.Errorf("Configuration at 4: %v\n%s", err, cmp.Diff(start, then, compareOpaque()...))
	}
	dry, err := c.Rollback(ctx, 4, ChangeOptions{DryRun: true})
	if err != nil || len(dry.Changed) != 5 || rig.State().Revision() != 5 {
		t.Errorf("Rollback, dry: %+v, %v", dry, err)
	}
	done, err := c.Rollback(ctx, 4, ChangeOptions{RequestID: "once", Why: "it was wrong"})
	if err != nil || done.Revision != 6 || !cmp.Equal(done.Changed, dry.Changed) {
		t.Errorf("Rollback: %+v, %v; want what the dry run said", done, err)
	}
	if again, err := c.Rollback(ctx, 4, ChangeOptions{RequestID: "once"}); err != nil || !cmp.Equal(again, done) {
		t.Errorf("Rollback, asked for again: %+v, %v; want what was told first", again, err)
	}
	if idle, err := c.Rollback(ctx, 4, ChangeOptions{}); err != nil || len(idle.Changed) != 0 || idle.Revision != 6 {
		t.Errorf("Rollback to what is: %+v, %v; want no change", idle, err)
	}
	if _, err := c.Rollback(ctx, 99, ChangeOptions{}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("Rollback to what is yet to come: %v, want ErrNotFound", err)
	}
	for _, bad := range []string{"/v1/difference", "/v1/difference?from=x", "/v1/difference?from=1&to=x", "/v1/history?before=x", "/v1/history?limit=0", "/v1/configuration?revision=x"} {
		if got := askPlainly(t, c, "GET", bad, ""); got.StatusCode != 400 {
			t.Errorf("GET %s: %s %s, want 400", bad, got.Status, got.body)
		}
	}
}

// compareOpaque lets cmp look at addresses.
func compareOpaque() []cmp.Option {
	return []cmp.Option{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
}
