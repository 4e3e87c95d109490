package api

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/samara-hpc/samara/fleet"
)

func suspect(node string) Suspect {
	return Suspect{Node: node, Peer: netip.MustParseAddr("10.1.0.11"), Fault: fleet.FaultCorrupt, Count: 3, Complainers: 2, Last: time.Unix(1e9, 0).UTC(), Avoided: true}
}

func TestSwarmOfAVersion(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	rig.swarm = SwarmView{Size: 1000, Pieces: 4, Nodes: SwarmNodes{Total: 1, Complete: 1}, Sent: 1030, Ratio: 1.03,
		Controllers: []SwarmController{{ID: "head", Alive: true, Offers: true, Sent: 1030, Ratio: 1.03}},
		Racks:       []SwarmRack{{Nodes: 1, Complete: 1, Have: 1}}, Suspects: []Suspect{suspect("n1")}}
	for _, name := range []string{"debian", "debian:1"} {
		ref, err := fleet.ParseImageRef(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Swarm(t.Context(), ref)
		if err != nil {
			t.Fatalf("Swarm %s: %v", name, err)
		}
		want := rig.swarm
		want.Image = fleet.ImageRef{Name: "debian", Version: 1}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("Swarm %s (-want +got):\n%s", name, diff)
		}
		if got.Stragglers == nil {
			t.Errorf("Swarm %s: JSON has null for no stragglers, want an empty list", name)
		}
	}
	if _, err := c.Swarm(t.Context(), fleet.ImageRef{Name: "debian", Version: 9}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("Swarm of a version that is none: %v, want ErrNotFound", err)
	}
}

func TestSwarmOfAControllerThatFollowsNone(t *testing.T) {
	rig := newRig(t, func(c *Config) { c.Swarms = nil })
	if _, err := rig.local(t).Swarm(t.Context(), fleet.ImageRef{Name: "debian"}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Swarm: %v, want ErrUnavailable", err)
	}
	if n, err := rig.local(t).Node(t.Context(), "n1"); err != nil || n.Faults != nil {
		t.Errorf("Node: faults %v, %v; want none", n.Faults, err)
	}
}

func TestNodesShowWhatPeersComplainAbout(t *testing.T) {
	rig := newRig(t)
	rig.faults = []Suspect{suspect("n1"), suspect("")}
	c := rig.local(t)
	n, err := c.Node(t.Context(), "n1")
	if err != nil || len(n.Faults) != 1 || n.Faults[0] != suspect("n1") {
		t.Errorf("Node n1: faults %+v, %v; want the one of it", n.Faults, err)
	}
	all, err := c.Nodes(t.Context())
	if err != nil || len(all) != 1 || len(all[0].Faults) != 1 {
		t.Errorf("Nodes: %+v, %v; want one fault", all, err)
	}
}

func TestStatusNamesSuspects(t *testing.T) {
	rig := newRig(t)
	hearsay, stranger := suspect("n1"), suspect("")
	hearsay.Avoided, stranger.Fault, stranger.Complainers = false, fleet.FaultStranger, 1
	rig.faults = []Suspect{suspect("n1"), hearsay, stranger}
	s, err := rig.local(t).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Problem{
		{What: "node n1 (10.1.0.11) sends corrupt pieces, say 2 peers", Cure: "samara node show n1; power it off or replace its memory; its peers no longer ask it"},
		{What: "10.1.0.11 is no member of the cluster, says 1 peer", Cure: "find the machine that has 10.1.0.11; no node asks it for anything"},
	}
	if diff := cmp.Diff(want, s.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	for range 100 {
		rig.faults = append(rig.faults, suspect("n1"))
	}
	if s, err = rig.local(t).Status(t.Context()); err != nil || len(s.Problems) != maxSuspectProblems+1 || s.Problems[maxSuspectProblems].What != "94 more complaints about peers" {
		t.Errorf("problems of 102 suspects: %+v, %v", s.Problems, err)
	}
}
