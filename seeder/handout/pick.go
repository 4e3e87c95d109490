package handout

import (
	"cmp"
	"slices"
)

// A pick is the peers of one asker, while they are being chosen.
type pick struct {
	*Table
	self  int32 // among the members, or -1
	hash  uint64
	rack  int32 // or -1 if no member is in the asker's rack
	peers []int32
}

func (t *Table) asker(q Question) *pick {
	p := &pick{Table: t, self: -1, hash: hashOf(q.Name), rack: -1, peers: make([]int32, 0, MaxPeers)}
	if i, member := t.byName[q.Name]; member {
		p.self, p.hash, p.rack = i, t.members[i].hash, t.members[i].rack
	} else if rack, known := t.racks[q.Rack]; known {
		p.rack = rack
	}
	return p
}

func (p *pick) add(member int32) {
	if member != p.self && !slices.Contains(p.peers, member) {
		p.peers = append(p.peers, member)
	}
}

// everybody picks all that are on a ring.
func (p *pick) everybody(ring []place) {
	for _, m := range ring {
		p.add(m.member)
	}
}

// neighbours picks from the rings.
func (p *pick) neighbours(starving bool) {
	for i := range p.near {
		p.beside(&p.near[i])
	}
	for i := range p.far {
		p.beyond(&p.far[i])
	}
	for i := range p.spare {
		if starving || len(p.peers) < enough {
			p.beside(&p.spare[i])
		}
	}
}

// beside picks the two neighbours on a ring.
func (p *pick) beside(r *ring) {
	if s := r.spot(p.hash, p.rack, p.self); len(s.circle) > 0 {
		p.add(s.step(1))
		p.add(s.step(-1))
	}
}

// beyond picks, on either side of a ring, the first of another rack within farReach, or else the neighbour. A neighbour of
// the same rack may be passed over because the rings of the rack tie it to the asker; so the rings together still tie
// everybody to everybody.
func (p *pick) beyond(r *ring) {
	s := r.spot(p.hash, p.rack, p.self)
	if len(s.circle) == 0 {
		return
	}
	for _, way := range [...]int{1, -1} {
		choice := s.step(way)
		for k := 1; k <= farReach; k++ {
			if m := s.step(k * way); p.members[m].rack != p.rack {
				choice = m
				break
			}
		}
		p.add(choice)
	}
}

// complete picks complete members that are meant for the asker, until it has wholePeers of them.
func (p *pick) complete() {
	if p.self < 0 {
		return
	}
	have := 0
	for _, m := range p.peers {
		if p.members[m].whole {
			have++
		}
	}
	for _, m := range p.whole[p.self] {
		if have >= wholePeers {
			return
		}
		before := len(p.peers)
		p.add(m)
		have += len(p.peers) - before
	}
}

// precedes orders members by address; of several with one address that is first which is worth the most.
func precedes(a, b *Member) int {
	if c := a.Addr.Compare(b.Addr); c != 0 {
		return c
	}
	if a.Suspect != b.Suspect {
		if b.Suspect {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(b.Holding, a.Holding), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Rack, b.Rack))
}
