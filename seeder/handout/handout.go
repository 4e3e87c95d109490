// Package handout decides who fetches a blob from whom: it names to each member of a swarm a few others, so that the whole
// is a near-regular random graph that holds together, mostly within racks.
package handout

import (
	"net/netip"
	"slices"
)

// A Member is a process that may take part in a swarm, as a controller knows it.
type Member struct {
	Name    string // unique among members
	Rack    string // "" if unknown: those are taken for one rack
	Addr    netip.AddrPort
	Holding Holding // of the blob in question
	Alive   bool
	Origin  bool // a controller: it is named to nobody, see Answer.Origin
	Suspect bool // misbehaves, or gives nothing on now: it is named to nobody while there are others
}

// A Holding is how much of a blob a member has.
type Holding uint8

// What a member may hold. HoldsSome is also said of one that has nothing yet and is fetching.
const (
	HoldsNone Holding = iota
	HoldsSome
	HoldsAll
)

// The shape of the graph. Six to ten peers were measured to suffice for swarms of 48, and ten for thousands; far ones keep
// the racks' swarms one swarm. Two neighbours on each ring are peers.
const (
	nearRings  = 3  // within a rack
	farRings   = 2  // over all racks
	spareRings = 2  // over all racks, for those who find too few peers on the others, and for who starves
	farReach   = 2  // places along a far ring within which a member of another rack is looked for
	enough     = 8  // peers with which the spare rings are left alone
	meshed     = 12 // members up to which everybody is told of everybody
)

// Bounds of what hand-outs of one Table say, whoever asks.
const (
	// MaxPeers is the most peers in one answer.
	MaxPeers = 2*(nearRings+farRings+spareRings) + wholePeers
	// MaxNamed is the most members that one member is named to, if it is incomplete. Askers that are suspects, or no members
	// yet, are not counted.
	MaxNamed = 2*nearRings + 2*farReach*farRings + 2*spareRings
	// MaxNamedWhole is the same for one that is complete.
	MaxNamedWhole = MaxNamed + nearSlots + farSlots
)

// When the origin is needed, and by how many.
const (
	// MaxFeeders is how many members of a cold swarm the origin is named to, spread evenly over the racks.
	MaxFeeders   = 128
	warmInRack   = 3 // complete members of a rack that make the origin needless there
	warmAnywhere = 8 // complete members that make the origin needless
)

// A Table is the graph of one blob's swarm at one moment. Its methods may be called from any goroutine.
type Table struct {
	seed    uint64
	members []node
	byName  map[string]int32
	racks   map[string]int32
	trusted int // members that are not suspects; the rings hold these, or everybody if there are none

	near, far, spare []ring
	outcasts         ring      // the suspects, if the rings do not hold them
	whole            [][]int32 // by member: complete ones that are named to it besides its neighbours
	wholeIn          []int32   // by rack: complete members
	wholeAll         int
	feeders          []bool // by member
	fed              int    // feeders in all
}

// A node is a member that can be a peer.
type node struct {
	hash    uint64 // of its name
	rack    int32
	addr    netip.AddrPort
	whole   bool
	suspect bool
	inRings bool
}

// New makes the graph of a swarm: those members that are alive and hold or fetch the blob, no controllers, no address
// twice. The order of members does not matter; equal members and seeds make equal tables at every controller. A member
// that comes or goes changes what its neighbours on the rings are told, and no more. It costs about N log N; the caller
// keeps the table for a moment and asks it for everybody.
func New(members []Member, seed uint64) *Table {
	t := &Table{seed: seed, byName: make(map[string]int32, len(members)), racks: map[string]int32{}}
	t.admit(members)
	t.link()
	t.spreadWhole()
	t.chooseFeeders()
	return t
}

// admit takes in who can be a peer, in an order that does not depend on that of members.
func (t *Table) admit(members []Member) {
	able := make([]*Member, 0, len(members))
	for i := range members {
		m := &members[i]
		if m.Alive && !m.Origin && m.Holding != HoldsNone && m.Addr.IsValid() && m.Addr.Port() != 0 && !m.Addr.Addr().IsUnspecified() {
			able = append(able, m)
		}
	}
	slices.SortFunc(able, precedes)
	t.members = make([]node, 0, len(able))
	for _, m := range able {
		last := int32(len(t.members) - 1)
		if last >= 0 && t.members[last].addr == m.Addr {
			t.byName[m.Name] = last // one process under two names
			continue
		}
		if _, again := t.byName[m.Name]; again {
			continue
		}
		rack, known := t.racks[m.Rack]
		if !known {
			rack = int32(len(t.racks))
			t.racks[m.Rack] = rack
			t.wholeIn = append(t.wholeIn, 0)
		}
		t.byName[m.Name] = last + 1
		t.members = append(t.members, node{hash: hashOf(m.Name), rack: rack, addr: m.Addr,
			whole: m.Holding == HoldsAll, suspect: m.Suspect})
		if !m.Suspect {
			t.trusted++
			if m.Holding == HoldsAll {
				t.wholeIn[rack]++
				t.wholeAll++
			}
		}
	}
}

// link lays the rings.
func (t *Table) link() {
	var in, out []int32
	for i := range t.members {
		if t.members[i].inRings = t.trusted == 0 || !t.members[i].suspect; t.members[i].inRings {
			in = append(in, int32(i))
		} else {
			out = append(out, int32(i))
		}
	}
	number := uint64(0)
	lay := func(rings *[]ring, n int, byRack bool, of []int32) {
		for range n {
			number++
			*rings = append(*rings, newRing(t.members, of, mix(t.seed+number), byRack))
		}
	}
	lay(&t.near, nearRings, true, in)
	lay(&t.far, farRings, false, in)
	lay(&t.spare, spareRings, false, in)
	t.outcasts = newRing(t.members, out, mix(t.seed-1), false)
}

// A Question is what an asker tells of itself.
type Question struct {
	Name     string // among the members, which it need not be one of yet
	Rack     string // if it is no member
	Complete bool   // it holds everything
	Starving bool   // it has verified nothing for a while, in spite of the peers it was told of
}

// An Answer says whom to fetch from.
type Answer struct {
	Peers  []netip.AddrPort // at most MaxPeers, each once, never the asker
	Origin bool             // controllers may be asked as well
}

// For answers one asker: its neighbours on the rings of its rack and on those over all racks, and some complete members if
// there are few among them. Two members are usually named to each other, so that either may call. The origin is for some
// members of a cold swarm, which are enough to feed the others, for who starves, and for who has no peers. A complete
// asker needs nobody. The cost grows with the logarithm of the members.
func (t *Table) For(q Question) Answer {
	if q.Complete {
		return Answer{}
	}
	p := t.asker(q)
	if all := t.far[0].order; len(all) <= meshed {
		p.everybody(all)
	} else {
		p.neighbours(q.Starving)
		p.complete()
	}
	a := Answer{Origin: q.Starving || len(p.peers) == 0 || t.feeds(p)}
	if len(p.peers) == 0 {
		p.beside(&t.outcasts)
	}
	a.Peers = make([]netip.AddrPort, len(p.peers))
	for i, peer := range p.peers {
		a.Peers[i] = t.members[peer].addr
	}
	return a
}

// feeds reports whether the origin is open to an asker.
func (t *Table) feeds(p *pick) bool {
	if t.wholeAll >= warmAnywhere || p.rack >= 0 && t.wholeIn[p.rack] >= warmInRack {
		return false
	}
	if p.self >= 0 && t.members[p.self].inRings && !t.members[p.self].whole {
		return t.feeders[p.self]
	}
	return t.fed < MaxFeeders
}

// hashOf is FNV-1a in 64 bits, the same on every machine.
func hashOf(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix is the finalizer of splitmix64: it spreads a change of any bit over all bits.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
