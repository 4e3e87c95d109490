package origin

import (
	"cmp"
	"container/heap"
)

// A queue is a heap whose elements know where they are in it.
type queue[T any] struct {
	items []T
	less  func(a, b T) bool
	place func(t T, at int)
}

func (q *queue[T]) Len() int           { return len(q.items) }
func (q *queue[T]) Less(i, j int) bool { return q.less(q.items[i], q.items[j]) }
func (q *queue[T]) Swap(i, j int) {
	q.items[i], q.items[j] = q.items[j], q.items[i]
	q.place(q.items[i], i)
	q.place(q.items[j], j)
}
func (q *queue[T]) Push(x any) {
	t := x.(T)
	q.place(t, len(q.items))
	q.items = append(q.items, t)
}
func (q *queue[T]) Pop() any {
	t := q.items[len(q.items)-1]
	var none T
	q.items[len(q.items)-1] = none
	q.items = q.items[:len(q.items)-1]
	q.place(t, -1)
	return t
}

// A rack is where peers are near each other.
type rack struct {
	name        string
	members     int
	outstanding int    // pieces shown to its peers and not finished
	served      uint64 // Origin.serial when one of them was last shown something
	turn        uint64 // decides between racks that were shown nothing
	ready       queue[*peer]
	slot        int // its index in lineup.racks, or -1
}

// A lineup holds the peers that have room, in the order in which they are served: the rack with the fewest outstanding pieces
// first, and in a rack the peer with the fewest; among equals who was served the longest ago. Struck peers come after all others.
type lineup struct {
	seed   uint64
	byName map[string]*rack
	racks  queue[*rack] // those with somebody ready
	struck queue[*peer]
}

func newLineup(seed uint64) lineup {
	return lineup{
		seed:   seed,
		byName: map[string]*rack{},
		racks: queue[*rack]{
			less: func(a, b *rack) bool {
				return cmp.Or(cmp.Compare(a.outstanding, b.outstanding), cmp.Compare(a.served, b.served),
					cmp.Compare(a.turn, b.turn), cmp.Compare(a.name, b.name)) < 0
			},
			place: func(r *rack, at int) { r.slot = at },
		},
		struck: queue[*peer]{
			less: func(a, b *peer) bool {
				return cmp.Or(cmp.Compare(a.strikes, b.strikes), cmp.Compare(a.served, b.served)) < 0
			},
			place: placePeer,
		},
	}
}

func placePeer(p *peer, at int) { p.slot = at }

// enter counts a peer into a rack.
func (l *lineup) enter(name string) *rack {
	r := l.byName[name]
	if r == nil {
		r = &rack{name: name, turn: turn(l.seed, name), slot: -1, ready: queue[*peer]{
			less: func(a, b *peer) bool {
				return cmp.Or(cmp.Compare(len(a.pending), len(b.pending)), cmp.Compare(a.served, b.served)) < 0
			},
			place: placePeer,
		}}
		l.byName[name] = r
	}
	r.members++
	return r
}

// turn draws a number for a rack: FNV-1a of its name, started from the seed.
func turn(seed uint64, name string) uint64 {
	h := 14695981039346656037 ^ seed
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

// leave counts a peer out of its rack.
func (l *lineup) leave(r *rack) {
	if r.members--; r.members == 0 {
		delete(l.byName, r.name)
	}
}

// put has p in line if it has room, and at its place.
func (l *lineup) put(p *peer, room bool) {
	q := &l.struck
	if p.strikes == 0 {
		q = &p.rack.ready
	}
	switch {
	case room && p.slot < 0:
		heap.Push(q, p)
	case room:
		heap.Fix(q, p.slot)
	case p.slot >= 0:
		heap.Remove(q, p.slot)
	}
	l.fix(p.rack)
}

// fix has r in line if one of its peers is, and at its place.
func (l *lineup) fix(r *rack) {
	switch ready := r.ready.Len() > 0; {
	case ready && r.slot < 0:
		heap.Push(&l.racks, r)
	case ready:
		heap.Fix(&l.racks, r.slot)
	case r.slot >= 0:
		heap.Remove(&l.racks, r.slot)
	}
}

// first is the peer that is served next, or nil.
func (l *lineup) first() *peer {
	if l.racks.Len() > 0 {
		return l.racks.items[0].ready.items[0]
	}
	if l.struck.Len() > 0 {
		return l.struck.items[0]
	}
	return nil
}
