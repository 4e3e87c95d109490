package handout

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func addr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 7602)
}

// even makes n members that fetch, in so many racks of one size.
func even(n, racks int) []Member {
	ms := make([]Member, n)
	for i := range ms {
		ms[i] = Member{Name: fmt.Sprintf("n%04d", i), Rack: fmt.Sprintf("r%02d", i%racks), Addr: addr(i + 1), Holding: HoldsSome, Alive: true}
	}
	return ms
}

// uneven makes n members that fetch, in at most so many racks: half of the racks have one member, others many, and some
// members' rack is unknown.
func uneven(n, racks int, rng *rand.Rand) []Member {
	ms := even(n, 1)
	for i := range ms {
		rack := rng.IntN(racks)
		if rack >= racks/2 && i >= racks {
			u := rng.Float64()
			rack = int(u * u * float64(racks/2))
		}
		ms[i].Rack = fmt.Sprintf("r%02d", rack)
		if rng.IntN(20) == 0 {
			ms[i].Rack = ""
		}
	}
	return ms
}

// draw makes members of all kinds, in up to five racks.
func draw(t *rapid.T, most int) []Member {
	ms := even(rapid.IntRange(0, most).Draw(t, "members"), 1)
	for i := range ms {
		ms[i].Rack = rapid.SampledFrom([]string{"", "r1", "r1", "r2", "r2", "r3"}).Draw(t, "rack")
		ms[i].Holding = rapid.SampledFrom([]Holding{HoldsNone, HoldsSome, HoldsSome, HoldsAll}).Draw(t, "holding")
		ms[i].Alive = rapid.IntRange(0, 9).Draw(t, "alive") > 0
		ms[i].Origin = rapid.IntRange(0, 19).Draw(t, "origin") == 0
		ms[i].Suspect = rapid.IntRange(0, 9).Draw(t, "suspect") == 0
	}
	return ms
}

// A graph is who is told of whom, members numbered as in the list.
type graph struct {
	members []Member
	told    [][]int // by asker; none for one that is complete
	named   []int   // by member: to how many
	origin  []bool  // by asker
}

func graphOf(t testing.TB, members []Member, table *Table, starving bool) graph {
	t.Helper()
	g := graph{members: members, told: make([][]int, len(members)), named: make([]int, len(members)), origin: make([]bool, len(members))}
	by := make(map[netip.AddrPort]int, len(members))
	for i, m := range members {
		by[m.Addr] = i
	}
	for i, m := range members {
		a := table.For(Question{Name: m.Name, Rack: m.Rack, Complete: m.Holding == HoldsAll, Starving: starving})
		g.origin[i] = a.Origin
		for _, p := range a.Peers {
			to, member := by[p]
			if !member {
				t.Fatalf("%s is told of %s, which nobody has", m.Name, p)
			}
			g.told[i] = append(g.told[i], to)
			g.named[to]++
		}
	}
	return g
}

// reached counts the members that a walk from the first that is left reaches: a peering serves both its ends. It returns
// also how many are left, and the most steps to any.
func (g graph) reached(gone func(int) bool) (reached, left, steps int) {
	next := make([][]int, len(g.members))
	from := -1
	for i := range g.members {
		if gone(i) {
			continue
		}
		left++
		if from < 0 {
			from = i
		}
		for _, to := range g.told[i] {
			if !gone(to) {
				next[i] = append(next[i], to)
				next[to] = append(next[to], i)
			}
		}
	}
	if from < 0 {
		return 0, 0, 0
	}
	far := make([]int, len(g.members))
	for i := range far {
		far[i] = -1
	}
	far[from] = 0
	for edge := []int{from}; len(edge) > 0; edge = edge[1:] {
		reached++
		steps = far[edge[0]]
		for _, to := range next[edge[0]] {
			if far[to] < 0 {
				far[to] = far[edge[0]] + 1
				edge = append(edge, to)
			}
		}
	}
	return reached, left, steps
}

func nobody(int) bool { return false }
