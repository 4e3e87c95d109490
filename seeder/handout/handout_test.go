package handout

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestAnswersKeepTheirPromises(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ms := draw(rt, 80)
		table := New(ms, rapid.Uint64().Draw(rt, "seed"))
		by := map[netip.AddrPort]Member{}
		trusted := 0
		for _, m := range ms {
			if m.Alive && !m.Origin && m.Holding != HoldsNone {
				by[m.Addr] = m
				if !m.Suspect {
					trusted++
				}
			}
		}
		starving := rapid.Bool().Draw(rt, "starving")
		for _, q := range []Question{{Name: "n0003"}, {Name: "stranger", Rack: "r1"}, {Name: "stranger", Rack: "elsewhere"}} {
			q.Starving = starving
			a := table.For(q)
			others := len(by)
			for _, m := range by {
				if m.Name == q.Name {
					others--
				}
			}
			if len(a.Peers) < min(1, others) || len(a.Peers) > MaxPeers {
				rt.Errorf("%+v: %d peers of %d", q, len(a.Peers), others)
			}
			seen := map[netip.AddrPort]bool{}
			for _, p := range a.Peers {
				m, able := by[p]
				if !able || seen[p] || m.Name == q.Name {
					rt.Errorf("%+v: is told of %s, which is not able, there twice, or itself", q, p)
				}
				if m.Suspect && trusted > 1 {
					rt.Errorf("%+v: is told of a suspect though there are %d others", q, trusted)
				}
				seen[p] = true
			}
			if (starving || len(a.Peers) == 0) && !a.Origin {
				rt.Errorf("%+v: the origin is closed, with %d peers", q, len(a.Peers))
			}
		}
	})
}

func TestAnswersAreTheSameForAnyOrderOfMembers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ms := draw(rt, 60)
		for i := range ms { // two processes of one address, two of one name
			if i > 0 && rapid.IntRange(0, 15).Draw(rt, "double") == 0 {
				ms[i].Addr = ms[i-1].Addr
			}
			if i > 0 && rapid.IntRange(0, 15).Draw(rt, "namesake") == 0 {
				ms[i].Name = ms[i-1].Name
			}
		}
		want := New(ms, 3)
		got := New(rapid.Permutation(ms).Draw(rt, "order"), 3)
		for _, m := range ms {
			q := Question{Name: m.Name, Rack: m.Rack}
			if g, w := got.For(q), want.For(q); !slices.Equal(g.Peers, w.Peers) || g.Origin != w.Origin {
				rt.Errorf("%s: got %v, in another order %v", m.Name, w, g)
			}
		}
	})
}

func TestWhoIsNotNamed(t *testing.T) {
	good := Member{Name: "good", Addr: addr(1), Holding: HoldsSome, Alive: true}
	bad := func(change func(*Member)) Member {
		m := Member{Name: "bad", Addr: addr(2), Holding: HoldsSome, Alive: true}
		change(&m)
		return m
	}
	for what, m := range map[string]Member{
		"one that is dead":       bad(func(m *Member) { m.Alive = false }),
		"one that has nothing":   bad(func(m *Member) { m.Holding = HoldsNone }),
		"a controller":           bad(func(m *Member) { m.Origin = true }),
		"one without an address": bad(func(m *Member) { m.Addr = netip.AddrPort{} }),
		"one without a port":     bad(func(m *Member) { m.Addr = netip.AddrPortFrom(m.Addr.Addr(), 0) }),
		"one at 0.0.0.0":         bad(func(m *Member) { m.Addr = netip.AddrPortFrom(netip.IPv4Unspecified(), 7602) }),
		"a suspect":              bad(func(m *Member) { m.Suspect = true }),
		"one at the same address": bad(func(m *Member) {
			m.Addr = good.Addr
		}),
	} {
		if got := New([]Member{m, good}, 1).For(Question{Name: "asker"}); !slices.Equal(got.Peers, []netip.AddrPort{good.Addr}) {
			t.Errorf("%s: the asker is told of %v, want only %v", what, got.Peers, good.Addr)
		}
	}
}

func TestTwoNamesOfOneAddressAreNotToldOfEachOther(t *testing.T) {
	ms := even(30, 2)
	ms[3].Addr = ms[4].Addr
	table := New(ms, 5)
	for _, i := range []int{3, 4} {
		if a := table.For(Question{Name: ms[i].Name}); slices.Contains(a.Peers, ms[i].Addr) || len(a.Peers) < enough {
			t.Errorf("%s at %s is told of %v", ms[i].Name, ms[i].Addr, a.Peers)
		}
	}
}

func TestSuspectsAreALastResort(t *testing.T) {
	ms := even(40, 2)
	for i := range ms {
		ms[i].Suspect = i >= 20
	}
	g := graphOf(t, ms, New(ms, 1), false)
	for i, m := range ms {
		if m.Suspect && g.named[i] > 0 {
			t.Errorf("%s is a suspect and named to %d", m.Name, g.named[i])
		}
		if len(g.told[i]) < 4 {
			t.Errorf("%s is told of %d only", m.Name, len(g.told[i]))
		}
	}
	for i := range ms {
		ms[i].Suspect = true
	}
	if g = graphOf(t, ms, New(ms, 1), false); slices.Min(g.named) == 0 {
		t.Error("though all are suspects, some are named to nobody")
	}
	pair := even(2, 1)
	pair[1].Suspect = true
	if a := New(pair, 1).For(Question{Name: pair[0].Name}); len(a.Peers) != 1 || !a.Origin {
		t.Errorf("with one other, which is a suspect: got %+v, want it and the origin", a)
	}
}

func TestACompleteAskerNeedsNobody(t *testing.T) {
	if got := New(even(20, 2), 1).For(Question{Name: "n0001", Complete: true, Starving: true}); len(got.Peers) != 0 || got.Origin {
		t.Errorf("got %v, want nothing", got)
	}
	if got := New(nil, 1).For(Question{Name: "n0001"}); len(got.Peers) != 0 || !got.Origin {
		t.Errorf("of an empty swarm: got %+v, want the origin alone", got)
	}
}

// TestLateJoinersShareTheSeeds has many join a swarm that few have completed.
func TestLateJoinersShareTheSeeds(t *testing.T) {
	for _, c := range []struct{ whole, joining, racks int }{{8, 500, 12}, {1, 300, 8}, {3, 37, 1}, {200, 200, 10}, {5000, 40, 125}} {
		ms := even(c.whole+c.joining, c.racks)
		for i := range c.whole {
			ms[i*len(ms)/c.whole].Holding = HoldsAll
		}
		g := graphOf(t, ms, New(ms, 11), false)
		most, tied, lacking := 0, 0, 0
		for i, m := range ms {
			if m.Holding == HoldsAll {
				most = max(most, g.named[i])
				if g.named[i] > 0 {
					tied++
				}
				continue
			}
			seeds := 0
			for _, to := range g.told[i] {
				if ms[to].Holding == HoldsAll {
					seeds++
				}
			}
			if seeds < wholePeers {
				lacking++
			}
		}
		t.Logf("%d complete, %d joining: named to at most %d; %d joiners have less than %d of them", c.whole, c.joining, most, lacking, wholePeers)
		if most > MaxNamedWhole {
			t.Errorf("%d complete, %d joining: one is named to %d", c.whole, c.joining, most)
		}
		if tied < min(c.whole, c.joining/4) {
			t.Errorf("%d complete, %d joining: only %d of the complete ones are named to anybody", c.whole, c.joining, tied)
		}
		if c.whole >= c.joining && lacking > c.joining/3 {
			t.Errorf("%d complete, %d joining: %d have less than %d complete peers", c.whole, c.joining, lacking, wholePeers)
		}
	}
}

func TestTheOriginFeedsAFewOfEveryRack(t *testing.T) {
	for what, ms := range map[string][]Member{"even": even(3000, 40), "one large rack": append(even(2000, 1), func() []Member {
		small := even(2040, 41)[2000:]
		for i := range small {
			small[i].Rack = fmt.Sprintf("s%d", i)
		}
		return small
	}()...)} {
		g := graphOf(t, ms, New(ms, 2), false)
		fed, size := map[string]int{}, map[string]int{}
		total := 0
		for i, m := range ms {
			size[m.Rack]++
			if g.origin[i] {
				fed[m.Rack]++
				total++
			}
		}
		if total != MaxFeeders {
			t.Errorf("%s: the origin feeds %d, want %d", what, total, MaxFeeders)
		}
		most := 0
		for _, n := range fed {
			most = max(most, n)
		}
		for rack, n := range size {
			if fed[rack] < min(n, most-1) {
				t.Errorf("%s: the origin feeds %d of the %d members of rack %q, and %d of another", what, fed[rack], n, rack, most)
			}
		}
	}
	ms := even(MaxFeeders, 5)
	if g := graphOf(t, ms, New(ms, 2), false); slices.Contains(g.origin, false) {
		t.Error("the origin does not feed everybody in a swarm that is small")
	}
}

func TestTheOriginIsClosedToAWarmSwarm(t *testing.T) {
	whole := func(n int, rack string) []Member {
		ms := even(60, 3)
		for i := range ms {
			if ms[i].Rack == rack && n > 0 {
				ms[i].Holding = HoldsAll
				n--
			}
		}
		return ms
	}
	suspects := whole(8, "r00")
	for i := range suspects {
		suspects[i].Suspect = suspects[i].Holding == HoldsAll
	}
	for what, c := range map[string]struct {
		members  []Member
		q        Question
		origin   bool
		complete int // peers at least
	}{
		"nobody has it":                     {whole(0, ""), Question{Name: "n0059"}, true, 0},
		"three of the rack have it":         {whole(3, "r02"), Question{Name: "n0059"}, false, 1},
		"three of another rack have it":     {whole(3, "r00"), Question{Name: "n0059"}, true, 0},
		"eight of another rack have it":     {whole(8, "r00"), Question{Name: "n0059"}, false, 0},
		"the same, and the asker starves":   {whole(8, "r00"), Question{Name: "n0059", Starving: true}, true, 0},
		"a newcomer, three of the rack":     {whole(3, "r02"), Question{Name: "new", Rack: "r02"}, false, 0},
		"a newcomer of a new rack":          {whole(3, "r02"), Question{Name: "new", Rack: "r77"}, true, 0},
		"only suspects have it":             {suspects, Question{Name: "n0059"}, true, 0},
		"a complete one that lost its copy": {whole(3, "r00"), Question{Name: "n0000"}, false, 0},
	} {
		a := New(c.members, 4).For(c.q)
		complete := 0
		for _, p := range a.Peers {
			if i := slices.IndexFunc(c.members, func(m Member) bool { return m.Addr == p }); c.members[i].Holding == HoldsAll {
				complete++
			}
		}
		if a.Origin != c.origin || complete < c.complete || len(a.Peers) == 0 {
			t.Errorf("%s: origin %t with %d complete of %d peers, want %t with at least %d", what, a.Origin, complete, len(a.Peers), c.origin, c.complete)
		}
	}
}

// TestARackWithoutSeedsIsTiedToThem has all complete members in one rack, which closes the origin to everybody.
func TestARackWithoutSeedsIsTiedToThem(t *testing.T) {
	for seed := range uint64(50) {
		ms := even(200, 5)
		for i := range ms {
			if ms[i].Rack == "r00" {
				ms[i].Holding = HoldsAll
			}
		}
		g := graphOf(t, ms, New(ms, seed), false)
		ties := map[string]int{}
		for i := range ms {
			for _, to := range g.told[i] {
				if ms[to].Rack == "r00" {
					ties[ms[i].Rack]++
				}
			}
		}
		for _, rack := range []string{"r01", "r02", "r03", "r04"} {
			if ties[rack] < 10 {
				t.Errorf("seed %d: rack %s has %d ties to the seeds", seed, rack, ties[rack])
			}
		}
		if reached, left, _ := g.reached(nobody); reached != left {
			t.Errorf("seed %d: %d of %d are tied together", seed, reached, left)
		}
	}
}

func TestOneThatStarvesIsToldOfMore(t *testing.T) {
	ms := even(400, 10)
	for _, m := range ms[:50] {
		table := New(ms, 6)
		calm, starving := table.For(Question{Name: m.Name}), table.For(Question{Name: m.Name, Starving: true})
		if !starving.Origin || len(starving.Peers) <= len(calm.Peers) {
			t.Errorf("%s: starving %d peers, else %d", m.Name, len(starving.Peers), len(calm.Peers))
		}
		for _, p := range calm.Peers {
			if !slices.Contains(starving.Peers, p) {
				t.Errorf("%s: starving it is no longer told of %s", m.Name, p)
			}
		}
	}
}
