package controller

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder/handout"
)

var (
	theImage   = fleet.Digest{1}
	otherImage = fleet.Digest{2}
	heads      = []fleet.Controller{{ID: "head1", Address: netip.MustParseAddr("10.1.0.1"), Ports: fleet.DefaultPorts}}
)

func report(d fleet.Digest, have int64, complete bool) fleet.Report {
	return fleet.Report{BootID: "b1", Swarm: fleet.SwarmReport{Blob: d, Have: have, Complete: complete}}
}

func swarmPort(host byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, host}), 7602)
}

func names(members []handout.Member, keep func(handout.Member) bool) []string {
	var out []string
	for _, m := range members {
		if keep(m) {
			out = append(out, m.Name)
		}
	}
	slices.Sort(out)
	return out
}

func aliveMember(m handout.Member) bool { return m.Alive }

func TestWhoIsInASwarm(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	gossip := []holder{
		{name: "gossips", addr: swarmPort(9), alive: true, holds: func(d fleet.Digest) bool { return d == theImage }},
		{name: "dead", addr: swarmPort(8), holds: func(d fleet.Digest) bool { return true }},
		{name: "moved-on", addr: swarmPort(7), alive: true, holds: func(d fleet.Digest) bool { return d == theImage }},
		{name: "seeds", addr: swarmPort(2), alive: true, holds: func(fleet.Digest) bool { return false }},
	}
	table := newPeerTable(func() []holder { return gossip }, func(string) string { return "" })
	table.report("fetches", swarmPort(1), report(theImage, 10, false), start)
	table.report("seeds", swarmPort(2), report(theImage, 100, true), start)
	table.report("seeds-unheard", swarmPort(3), report(theImage, 100, true), start)
	table.report("moved-on", swarmPort(7), report(otherImage, 1, false), start)

	for what, c := range map[string]struct {
		after time.Duration
		want  []string
	}{
		"at once":                           {0, []string{"fetches", "gossips", "seeds", "seeds-unheard"}},
		"after a fetching node fell silent": {fetchingTrust, []string{"gossips", "seeds", "seeds-unheard"}},
		"after seeding nodes fell silent":   {seedingTrust, []string{"gossips", "moved-on", "seeds"}},
	} {
		if got := names(table.members(theImage, start.Add(c.after)), aliveMember); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", what, got, c.want)
		}
	}
	table.report("other", swarmPort(4), report(theImage, 1, true), start.Add(2*forgetPeerPast))
	if len(table.nodes) != 1 {
		t.Errorf("%d nodes are remembered, want only the one that reported lately", len(table.nodes))
	}
}

func TestTheOriginIsForColdImagesAndForWhoStarves(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	table := newPeerTable(func() []holder { return nil }, func(string) string { return "r1" })
	ask := func(have int64) fleet.SwarmAnswer {
		r := report(theImage, have, false)
		table.report("n9", swarmPort(9), r, now)
		return table.answer("n9", r, heads, now)
	}
	if a := ask(0); len(a.Origin) != 1 || len(a.Peers) != 0 {
		t.Errorf("a cold image: %+v, want the origin alone", a)
	}
	seeds := func() {
		for i := range byte(3) {
			table.report(string('a'+rune(i)), swarmPort(i+1), report(theImage, 100, true), now)
		}
	}
	seeds()
	now = now.Add(2 * membersStay)
	if a := ask(10); len(a.Origin) != 0 || len(a.Peers) != 3 {
		t.Errorf("a warm image: %+v, want three peers and no origin", a)
	}
	now = now.Add(starvingAfter + time.Second)
	seeds()
	if a := ask(10); len(a.Origin) != 1 {
		t.Errorf("a node without progress for %s: %+v, want the origin too", starvingAfter, a)
	}
	if a := ask(20); len(a.Origin) != 0 {
		t.Errorf("the same node with progress: %+v, want no origin", a)
	}
	done := report(theImage, 100, true)
	if a := table.answer("n9", done, heads, now); len(a.Peers)+len(a.Origin) != 0 || a.Interval != seedInterval {
		t.Errorf("a complete node: %+v, want nobody and a long interval", a)
	}
}
