package handout

import (
	"cmp"
	"slices"
)

// A ring is an order of members by hashes of their names, closed to a circle: one circle of all, or one for each rack.
type ring struct {
	salt   uint64
	byRack bool
	order  []place
	at     []int32 // by member: its index in order, or -1
}

type place struct {
	rack   int32 // 0 unless the ring is one for each rack
	key    uint64
	member int32
}

func (a place) compare(b place) int {
	switch { // most of what a table costs is spent here: no comparison is made that does not count
	case a.rack != b.rack:
		return cmp.Compare(a.rack, b.rack)
	case a.key != b.key:
		return cmp.Compare(a.key, b.key)
	}
	return cmp.Compare(a.member, b.member)
}

func newRing(members []node, of []int32, salt uint64, byRack bool) ring {
	r := ring{salt: salt, byRack: byRack, order: make([]place, len(of)), at: make([]int32, len(members))}
	for i, m := range of {
		r.order[i] = r.place(members[m].hash, members[m].rack, m)
	}
	slices.SortFunc(r.order, place.compare)
	for i := range r.at {
		r.at[i] = -1
	}
	for i, p := range r.order {
		r.at[p.member] = int32(i)
	}
	return r
}

func (r *ring) place(hash uint64, rack, member int32) place {
	p := place{key: mix(hash ^ r.salt), member: member}
	if r.byRack {
		p.rack = rack
	}
	return p
}

// circle returns the bounds in r.order of the circle that a rack is on.
func (r *ring) circle(rack int32) (from, to int) {
	if !r.byRack {
		return 0, len(r.order)
	}
	find := func(rack int32) int {
		i, _ := slices.BinarySearchFunc(r.order, rack, func(p place, rack int32) int { return cmp.Compare(p.rack, rack) })
		return i
	}
	return find(rack), find(rack + 1)
}

// A spot is where an asker stands on a ring: on a place of its own or between two.
type spot struct {
	circle []place
	index  int  // of its own place, or of the one after it
	own    bool // it has a place
}

func (r *ring) spot(hash uint64, rack, self int32) spot {
	from, to := r.circle(rack)
	s := spot{circle: r.order[from:to]}
	if self >= 0 && r.at[self] >= 0 {
		s.index, s.own = int(r.at[self])-from, true
		return s
	}
	s.index, _ = slices.BinarySearchFunc(s.circle, r.place(hash, rack, self), place.compare)
	return s
}

// step returns the member that is k places on, or back if k is negative; k is not 0, and the circle not empty.
func (s spot) step(k int) int32 {
	if !s.own && k > 0 {
		k--
	}
	n := len(s.circle)
	return s.circle[((s.index+k)%n+n)%n].member
}
