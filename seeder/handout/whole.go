package handout

import (
	"cmp"
	"slices"
)

// How complete members are given to those who have few among their neighbours. A complete member is given to a few
// incomplete ones only: all would else be sent to the first node that finishes, and be refused.
const (
	wholePeers = 3 // complete peers of an asker, as far as there are any to give
	nearSlots  = 2 // incomplete members of its rack that a complete one is given to
	farSlots   = 2 // incomplete members of any rack that a complete one is given to
)

// spreadWhole gives the complete members of the rings to incomplete ones: each finds its place on rings of the incomplete
// ones, and is given to those that follow it there.
func (t *Table) spreadWhole() {
	t.whole = make([][]int32, len(t.members))
	var wanting []int32
	for i := range t.members {
		if t.members[i].inRings && !t.members[i].whole {
			wanting = append(wanting, int32(i))
		}
	}
	if len(wanting) == 0 {
		return
	}
	near := newRing(t.members, wanting, mix(t.seed-2), true)
	far := newRing(t.members, wanting, mix(t.seed-3), false)
	for i := range t.members {
		if m := &t.members[i]; m.whole && m.inRings {
			t.give(int32(i), near.spot(m.hash, m.rack, int32(i)), nearSlots)
			t.give(int32(i), far.spot(m.hash, m.rack, int32(i)), farSlots)
		}
	}
	for to, given := range t.whole {
		if len(given) > wholePeers {
			t.whole[to] = t.nearest(int32(to), given)
		}
	}
}

// give names a complete member to the n members after a spot. All that is given of one member is given at a stretch.
func (t *Table) give(member int32, s spot, n int) {
	for k := 1; k <= min(n, len(s.circle)); k++ {
		to := s.step(k)
		if given := t.whole[to]; len(given) == 0 || given[len(given)-1] != member {
			t.whole[to] = append(given, member)
		}
	}
}

// nearest orders complete members for one that wants some: those of its rack first, then by hash.
func (t *Table) nearest(to int32, given []int32) []int32 {
	me := &t.members[to]
	rank := func(m int32) uint64 {
		h := mix(me.hash^mix(t.members[m].hash^t.seed)) >> 1
		if t.members[m].rack != me.rack {
			h |= 1 << 63
		}
		return h
	}
	slices.SortFunc(given, func(a, b int32) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	return given
}

// chooseFeeders chooses whom the origin feeds while the swarm is cold: the first of every rack by hash, then the second of
// every rack, and so on, up to MaxFeeders.
func (t *Table) chooseFeeders() {
	t.feeders = make([]bool, len(t.members))
	byRack := &t.near[0]
	type turn struct {
		round  int32
		key    uint64
		member int32
	}
	turns := make([]turn, 0, len(byRack.order))
	rack, round := int32(-1), int32(0)
	rackKey := make([]uint64, len(t.racks))
	for name, i := range t.racks {
		rackKey[i] = hashOf(name) ^ t.seed
	}
	for _, p := range byRack.order {
		if p.rack != rack {
			rack, round = p.rack, 0
		}
		if t.members[p.member].whole {
			continue
		}
		turns = append(turns, turn{round, mix(rackKey[rack] + uint64(round)), p.member})
		round++
	}
	slices.SortFunc(turns, func(a, b turn) int {
		return cmp.Or(cmp.Compare(a.round, b.round), cmp.Compare(a.key, b.key), cmp.Compare(a.member, b.member))
	})
	t.fed = min(len(turns), MaxFeeders)
	for _, f := range turns[:t.fed] {
		t.feeders[f.member] = true
	}
}
