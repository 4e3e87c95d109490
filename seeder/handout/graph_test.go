package handout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTheGraphHoldsTogether holds the graph to what the rings promise: whatever the racks, everybody is tied to everybody,
// and nobody has more peers, or is named to more, than the bounds say.
func TestTheGraphHoldsTogether(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 4, 5, 7, 10, 16, 33, 64, 128, 257, 600, 3000} {
		for _, racks := range []int{1, 2, 7, 80} {
			for what, ms := range map[string][]Member{"even": even(n, racks), "uneven": uneven(n, racks, rng)} {
				g := graphOf(t, ms, New(ms, rng.Uint64()), false)
				if reached, left, _ := g.reached(nobody); reached != left {
					t.Errorf("%d members in %d %s racks: only %d are tied together", left, racks, what, reached)
				}
				for i, m := range ms {
					if len(g.told[i]) > MaxPeers || g.named[i] > MaxNamed || len(g.told[i]) < min(n-1, 4) {
						t.Errorf("%d members in %d %s racks: %s has %d peers and is named to %d", n, racks, what, m.Name, len(g.told[i]), g.named[i])
					}
				}
			}
		}
	}
}

func TestTheGraphIsNearlyRegularAndMostlyLocal(t *testing.T) {
	for _, n := range []int{1000, 5000} {
		ms := even(n, n/40)
		g := graphOf(t, ms, New(ms, 7), false)
		near, all := 0, 0
		for i := range ms {
			all += len(g.told[i])
			local := 0
			for _, to := range g.told[i] {
				if ms[to].Rack == ms[i].Rack {
					local++
				}
			}
			near += local
			if far := len(g.told[i]) - local; far < 2 || local < 3 {
				t.Errorf("%s has %d peers in its rack and %d in others, want at least 3 and 2", ms[i].Name, local, far)
			}
		}
		least, most := slices.Min(g.named), slices.Max(g.named)
		mean, share := float64(all)/float64(n), float64(near)/float64(all)
		_, _, steps := g.reached(nobody)
		t.Logf("%d members in racks of 40: %.1f peers each, %.0f %% of them in the rack, named to %d to %d, at most %d steps apart from the first",
			n, mean, 100*share, least, most, steps)
		if float64(most) > 1.5*mean || float64(least) < mean/2 {
			t.Errorf("members are named to %d to %d others, the mean is %.1f", least, most, mean)
		}
		if share < 0.5 || share > 0.7 {
			t.Errorf("%.2f of the peers are in the asker's rack, want about 0.6", share)
		}
		if steps > 8 {
			t.Errorf("somebody is %d steps from the first", steps)
		}
	}
}

// TestTheGraphOutlivesALostRack takes a tenth of the members and one more rack away, before anybody asks again.
func TestTheGraphOutlivesALostRack(t *testing.T) {
	for what, c := range map[string]struct{ n, racks, trials int }{
		"120 members in 3 racks":   {120, 3, 300},
		"400 members in 10 racks":  {400, 10, 110},
		"1000 members in 25 racks": {1000, 25, 20},
		"300 without racks":        {300, 300, 110},
	} {
		broken := 0
		for seed := range c.trials {
			rng := rand.New(rand.NewPCG(uint64(seed), 3))
			ms := even(c.n, c.racks)
			g := graphOf(t, ms, New(ms, uint64(seed)), false)
			rack := fmt.Sprintf("r%02d", rng.IntN(c.racks))
			gone := make([]bool, c.n)
			for i, m := range ms {
				gone[i] = m.Rack == rack || rng.IntN(10) == 0
			}
			if reached, left, _ := g.reached(func(i int) bool { return gone[i] }); reached != left {
				broken++
			}
		}
		t.Logf("%s: %d of %d swarms fell apart", what, broken, c.trials)
		if broken*100 >= c.trials {
			t.Errorf("%s: %d of %d swarms fell apart, want less than one in a hundred", what, broken, c.trials)
		}
	}
}

// TestOneThatLeavesChangesItsNeighboursOnly counts whose peers change. A member has two neighbours on each near and spare
// ring and four within reach on each far one; a complete one is given to few besides.
func TestOneThatLeavesChangesItsNeighboursOnly(t *testing.T) {
	const onRings = 2*nearRings + 2*farReach*farRings + 2*spareRings
	rng := rand.New(rand.NewPCG(5, 6))
	for trial := range 60 {
		n := 20 + rng.IntN(300)
		ms := uneven(n, 1+rng.IntN(20), rng)
		for i := range ms {
			if rng.IntN(3) == 0 {
				ms[i].Holding = HoldsAll
			}
		}
		before := New(ms, uint64(trial))
		gone := ms[rng.IntN(n)]
		after := New(slices.DeleteFunc(slices.Clone(ms), func(m Member) bool { return m.Name == gone.Name }), uint64(trial))
		changed, flipped := 0, 0
		for _, m := range ms {
			if m.Name == gone.Name {
				continue
			}
			q := Question{Name: m.Name, Starving: trial%2 == 0}
			b, a := before.For(q), after.For(q)
			if !slices.Equal(b.Peers, a.Peers) {
				changed++
			}
			if b.Origin != a.Origin {
				flipped++
			}
		}
		most := onRings + nearSlots + farSlots
		if gone.Holding != HoldsAll {
			most = onRings + len(before.whole[before.byName[gone.Name]])
		}
		if changed > most {
			t.Errorf("%s left %d others: the peers of %d change, want at most %d", gone.Name, n-1, changed, most)
		}
	}
}

func TestFeedersChangeLittle(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	for trial := range 20 {
		ms := uneven(150+rng.IntN(400), 1+rng.IntN(200), rng)
		before := New(ms, uint64(trial))
		gone := rng.IntN(len(ms))
		after := New(slices.Delete(slices.Clone(ms), gone, gone+1), uint64(trial))
		changed := 0
		for i, m := range ms {
			if q := (Question{Name: m.Name}); i != gone && before.For(q).Origin != after.For(q).Origin {
				changed++
			}
		}
		if changed > 2 {
			t.Errorf("one of %d left: the origin opens or closes to %d, want at most 2", len(ms), changed)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		ms := even(n, n/40)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				New(ms, 1)
			}
		})
	}
}

func BenchmarkFor(b *testing.B) {
	ms := even(10000, 250)
	for i := range ms {
		if i%3 == 0 {
			ms[i].Holding = HoldsAll
		}
	}
	table := New(ms, 1)
	i := 0
	for b.Loop() {
		table.For(Question{Name: ms[i%len(ms)].Name})
		i++
	}
}
