package controller

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
	"github.com/samara-hpc/samara/seeder/handout"
)

var (
	theImage   = fleet.Digest{1}
	otherImage = fleet.Digest{2}
)

func report(d fleet.Digest, have int64, complete bool) fleet.Report {
	return fleet.Report{BootID: "b1", Swarm: fleet.SwarmReport{Blob: d, Have: have, Complete: complete}}
}

// testSources know no rack and hold nothing against anybody; every address is a node's.
func testSources(gossip func() []holder) peerSources {
	if gossip == nil {
		gossip = func() []holder { return nil }
	}
	return peerSources{gossip: gossip, rackOf: func(string) string { return "" }, isNode: func(netip.Addr) bool { return true },
		faults: func() []seeder.Fault { return nil }}
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
	table := newPeerTable(testSources(func() []holder { return gossip }))
	table.report("fetches", "r1", swarmPort(1), report(theImage, 10, false), start)
	table.report("seeds", "r1", swarmPort(2), report(theImage, 100, true), start)
	table.report("seeds-unheard", "r1", swarmPort(3), report(theImage, 100, true), start)
	table.report("moved-on", "r1", swarmPort(7), report(otherImage, 1, false), start)

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
	table.report("other", "r1", swarmPort(4), report(theImage, 1, true), start.Add(2*forgetPeerPast))
	if len(table.nodes) != 1 {
		t.Errorf("%d nodes are remembered, want only the one that reported lately", len(table.nodes))
	}
}

// TestNobodyIsToldOfNodesThatGiveNothingOn has nodes end, of which gossip says still that they hold the image.
func TestNobodyIsToldOfNodesThatGiveNothingOn(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	all := func(fleet.Digest) bool { return true }
	table := newPeerTable(testSources(func() []holder {
		return []holder{{name: "a", addr: swarmPort(1), alive: true, holds: all}, {name: "b", addr: swarmPort(2), alive: true, holds: all}}
	}))
	for name, ended := range map[string]bool{"a": true, "b": false, "c": true} {
		r := report(theImage, 100, true)
		r.Swarm.Paused, r.Swarm.Ended = "a job runs", ended
		table.report(name, "r1", swarmPort(name[0]-'a'+1), r, now)
	}
	ask := report(theImage, 0, false)
	table.report("n9", "r1", swarmPort(9), ask, now)
	if a, _ := table.answer("n9", ask, now); len(a.Peers) != 1 || a.Peers[0] != swarmPort(2) || !a.Origin {
		t.Errorf("told of %+v, want the one that only pauses, and the origin", a)
	}
	half := report(theImage, 50, false)
	half.Swarm.Ended = true // no agent says so: it gives on what it has until it is up
	table.report("c", "r1", swarmPort(3), half, now.Add(time.Second))
	if got := names(table.members(theImage, now.Add(2*time.Second)), aliveMember); !slices.Equal(got, []string{"b", "c", "n9"}) {
		t.Errorf("in the swarm are %v", got)
	}
}

// TestANodeThatGivesNothingOnRunsItsImage keeps what nodes run on the controllers' disks.
func TestANodeThatGivesNothingOnRunsItsImage(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	table := newPeerTable(testSources(nil))
	r := report(theImage, 100, true)
	r.Swarm.Ended = true
	table.report("a", "r1", swarmPort(1), r, now)
	for what, c := range map[string]struct {
		image fleet.Digest
		after time.Duration
		want  bool
	}{"at once": {theImage, 0, true}, "another image": {otherImage, 0, false}, "once it is silent": {theImage, seedingTrust, false}} {
		if got := table.runs(c.image, now.Add(c.after)); got != c.want {
			t.Errorf("%s: %t, want %t", what, got, c.want)
		}
	}
}

func TestTheOriginIsForColdImagesAndForWhoStarves(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	table := newPeerTable(testSources(nil))
	ask := func(have int64) handout.Answer {
		r := report(theImage, have, false)
		table.report("n9", "r1", swarmPort(9), r, now)
		a, _ := table.answer("n9", r, now)
		return a
	}
	if a := ask(0); !a.Origin || len(a.Peers) != 0 {
		t.Errorf("a cold image: %+v, want the origin alone", a)
	}
	seeds := func() {
		for i := range byte(3) {
			table.report(string('a'+rune(i)), "r1", swarmPort(i+1), report(theImage, 100, true), now)
		}
	}
	seeds()
	if a := ask(10); a.Origin || len(a.Peers) != 3 {
		t.Errorf("a warm image: %+v, want three peers and no origin", a)
	}
	now = now.Add(starvingAfter + time.Second)
	seeds()
	if a := ask(10); !a.Origin {
		t.Errorf("a node without progress for %s: %+v, want the origin too", starvingAfter, a)
	}
	if a := ask(20); a.Origin {
		t.Errorf("the same node with progress: %+v, want no origin", a)
	}
	a, interval := table.answer("n9", report(theImage, 100, true), now)
	if len(a.Peers) > 0 || a.Origin || interval != seedInterval {
		t.Errorf("a complete node: %+v every %s, want nobody and a long interval", a, interval)
	}
}

func TestWhoSendsNothingWarmsNoImage(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	table := newPeerTable(testSources(nil))
	for i := range byte(10) {
		r := report(theImage, 100, true)
		if i > 0 {
			r.Swarm.Paused = "a job runs"
		}
		table.report(string('a'+rune(i)), "r1", swarmPort(i+1), r, now)
	}
	r := report(theImage, 0, false)
	table.report("n99", "r1", swarmPort(99), r, now)
	a, _ := table.answer("n99", r, now)
	if !a.Origin || len(a.Peers) != 1 || a.Peers[0] != swarmPort(1) {
		t.Errorf("of ten that hold the image nine are paused: %+v, want the origin and the tenth", a)
	}
	if n := len(names(table.members(theImage, now), aliveMember)); n != 11 {
		t.Errorf("%d members are alive, want 11: those that are paused run the image", n)
	}
}

// TestWhoeverAsksAfterTheFirstIsToldOfThem has a cluster switched on within the time that a table stays.
func TestWhoeverAsksAfterTheFirstIsToldOfThem(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	table := newPeerTable(testSources(nil))
	named := map[netip.AddrPort]int{}
	for i := range 400 {
		name, r := fmt.Sprint("n", i), report(theImage, 0, false)
		table.report(name, "", netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}), 7602), r, now)
		a, _ := table.answer(name, r, now)
		if len(a.Peers) < min(i/2, 6) {
			t.Errorf("node %d is told of %d others", i, len(a.Peers))
		}
		for _, p := range a.Peers {
			named[p]++
		}
	}
	for p, n := range named {
		if n > 60 {
			t.Errorf("%s is named to %d of 400", p, n)
		}
	}
}

func TestAPeersRateAndProgressFollowItsReports(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	table := newPeerTable(testSources(nil))
	tell := func(after time.Duration, boot string, have int64) peer {
		now = now.Add(after)
		r := report(theImage, have, false)
		r.BootID = boot
		table.report("n1", "r1", swarmPort(1), r, now)
		return table.nodes["n1"]
	}
	tell(0, "b1", 0)
	if p := tell(2*time.Second, "b1", 2000); p.rate != 1000 || p.progress != now {
		t.Errorf("after 2000 bytes in 2 s: %.0f bytes per second, progress at %s", p.rate, p.progress)
	}
	if p := tell(2*time.Second, "b1", 2000); p.rate >= 1000 || p.rate <= 0 || !p.progress.Equal(now.Add(-2*time.Second)) {
		t.Errorf("after 2 s without a byte: %.0f bytes per second, progress at %s", p.rate, p.progress)
	}
	if p := tell(2*time.Second, "b2", 10); p.rate != 0 || p.progress != now {
		t.Errorf("after a boot: %.0f bytes per second, progress at %s", p.rate, p.progress)
	}
	late := fleet.Boot{Node: "n1", ID: "b1", Swarm: report(otherImage, 5, false).Swarm, Seen: now.Add(-time.Second)}
	if table.hear(late, "r1", swarmPort(1), now); table.nodes["n1"].swarm.Blob != theImage {
		t.Error("what another controller heard earlier displaces what this one was told")
	}
	late.Seen = now.Add(time.Hour)
	if table.hear(late, "r1", swarmPort(1), now); table.nodes["n1"].swarm.Blob != otherImage || table.nodes["n1"].seen != now {
		t.Error("what another controller heard last is not taken over, as of now")
	}
	if len(table.swarms[theImage]) != 0 || len(table.swarms[otherImage]) != 1 {
		t.Errorf("the node is in the swarms %v", table.swarms)
	}
}

func TestSwarmsThatAreAskedForAreKeptInBoundedNumber(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	table := newPeerTable(testSources(nil))
	for i := range 10 * maxTables {
		r := report(fleet.Digest{1, byte(i), byte(i >> 8)}, 0, false)
		table.report("liar", "r1", swarmPort(1), r, now)
		table.answer("liar", r, now)
	}
	if len(table.tables) > maxTables || len(table.swarms) != 1 {
		t.Errorf("%d tables and %d swarms are kept of one node that is about another blob each time", len(table.tables), len(table.swarms))
	}
}

// BenchmarkAnswer is one node's report and answer while 5,000 nodes report every two seconds; a second of the cluster is
// 2,500 of them. The time of the tables is in it.
func BenchmarkAnswer(b *testing.B) {
	const nodes = 5000
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	table := newPeerTable(testSources(nil))
	names, racks, addrs := make([]string, nodes), make([]string, nodes), make([]netip.AddrPort, nodes)
	for i := range nodes {
		names[i], racks[i] = fmt.Sprintf("n%04d", i), fmt.Sprintf("r%d", i/40)
		addrs[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}), 7602)
		table.report(names[i], racks[i], addrs[i], report(theImage, 1, false), now)
	}
	var have int64
	i := 0
	for b.Loop() {
		n := i % nodes
		have++
		r := report(theImage, have, false)
		table.report(names[n], racks[n], addrs[n], r, now)
		table.answer(names[n], r, now)
		now = now.Add(fetchInterval / nodes)
		i++
	}
	perSecond := float64(nodes) / fetchInterval.Seconds()
	b.ReportMetric(100*perSecond*b.Elapsed().Seconds()/float64(b.N), "%core")
}
