package api

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

// largeSite serves 10,000 nodes with 30 profiles, each node with three.
func largeSite(b *testing.B) *rig {
	b.Helper()
	rig := newRig(b)
	propose(b, rig.memory, fleet.PutNetwork{Network: fleet.Network{Name: "large", Subnet: netip.MustParsePrefix("10.64.0.0/16"), DHCP: fleet.DHCPFull}, Create: true})
	var edit fleet.Edit
	for i := range 30 {
		edit.Puts = append(edit.Puts, fleet.Object{Profile: &fleet.Profile{Name: fmt.Sprintf("p%02d", i), Settings: fleet.Settings{
			KernelArgs: []string{fmt.Sprintf("p%02d=1", i)}, Tags: map[string]string{fmt.Sprintf("t%02d", i): "x"}}}})
	}
	for i := range 10_000 {
		edit.Puts = append(edit.Puts, fleet.Object{Node: &fleet.Node{Name: fmt.Sprintf("n%05d", i), Profiles: []string{"p00", fmt.Sprintf("p%02d", 1+i%10), fmt.Sprintf("p%02d", 11+i%19)},
			Settings: fleet.Settings{Image: fleet.ImageRef{Name: "debian"}, Rack: fmt.Sprintf("r%03d", i/40), Interfaces: []fleet.Interface{{Name: "default",
				MAC: fleet.MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}, IP: netip.AddrFrom4([4]byte{10, 64, byte(1 + i/250), byte(1 + i%250)})}}}}})
	}
	propose(b, rig.memory, edit)
	return rig
}

// BenchmarkNodes lists 10,000 nodes: on the server alone, and through the client.
func BenchmarkNodes(b *testing.B) {
	rig := largeSite(b)
	c := rig.local(b)
	b.Run("served", func(b *testing.B) {
		for b.Loop() {
			if _, err := json.Marshal(rig.server.viewNodes(rig.State().ResolveAll(), 10_000)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("asked for", func(b *testing.B) {
		for b.Loop() {
			if all, err := c.Nodes(b.Context()); err != nil || len(all) < 10_000 {
				b.Fatal(len(all), err)
			}
		}
	})
}

// BenchmarkPlan tells what a change of a profile does to the 10,000 nodes that use it.
func BenchmarkPlan(b *testing.B) {
	rig := largeSite(b)
	c := rig.local(b)
	edit := putProfile(fleet.Profile{Name: "p00", Settings: fleet.Settings{KernelArgs: []string{"other=1"}}})
	for b.Loop() {
		if got, err := c.Edit(b.Context(), edit, ChangeOptions{DryRun: true}); err != nil || len(got.Effects) == 0 {
			b.Fatal(got, err)
		}
	}
}

// BenchmarkEdit changes each of 10,000 nodes, through the client, as an apply of a whole site does.
func BenchmarkEdit(b *testing.B) {
	rig := largeSite(b)
	c := rig.local(b)
	all, err := c.Configuration(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	for round := 0; b.Loop(); round++ {
		for i := range all.Nodes {
			all.Nodes[i].Tags = map[string]string{"round": fmt.Sprint(round)}
		}
		if got, err := c.Edit(b.Context(), putNodes(all.Nodes...), ChangeOptions{}); err != nil || len(got.Changed) < 10_000 {
			b.Fatal(len(got.Changed), err)
		}
	}
}
