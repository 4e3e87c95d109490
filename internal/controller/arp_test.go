package controller

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

func TestTheKernelsNeighboursAreCounted(t *testing.T) {
	for _, c := range []struct {
		neighbours, limit int
		cure              string // "" if there is no problem
	}{
		{0, 1024, ""},
		{768, 1024, ""},
		{769, 1024, "gc_thresh2=1024 net.ipv4.neigh.default.gc_thresh3=2048,"},
		{2000, 1024, "gc_thresh2=2048 net.ipv4.neigh.default.gc_thresh3=4096,"},
		{10_000, 1024, "gc_thresh2=16384 net.ipv4.neigh.default.gc_thresh3=32768,"},
		{10_000, 32768, ""},
	} {
		p, is := crowd(c.neighbours, c.limit)
		if is != (c.cure != "") || !strings.Contains(p.Cure, c.cure) {
			t.Errorf("%d neighbours of %d: %t, %q; want %q", c.neighbours, c.limit, is, p.Cure, c.cure)
		}
	}
}

func TestNeighboursAreThoseOnOwnNetworks(t *testing.T) {
	_, state, _ := initialised(t)
	state = changed(t, state, &fleet.AddNodes{Nodes: []fleet.Node{ofRack("n2", "", "10.0.0.10"), ofRack("n3", "", "10.0.0.20"), {Name: "bare"}}})
	for own, want := range map[string]int{"10.0.0.0/24": 3, "10.0.0.0/28": 2, "192.168.0.0/16": 0} {
		if got := neighboursIn(state, []netip.Prefix{netip.MustParsePrefix(own)}); got != want {
			t.Errorf("%d nodes are in %s, want %d", got, own, want)
		}
	}
	if got := neighboursIn(state, nil); got != 0 {
		t.Errorf("%d nodes are in no network", got)
	}
}
