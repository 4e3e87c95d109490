package simulate

import "math/bits"

const maxCandidates = 64 // pieces that are compared before one is chosen

// choose returns the fragment that node p asks of node q next: of pieces that it has begun with, else of the rarest
// among those that q has; ties by chance, but the same chance for each node and piece. When all that p lacks is asked
// for, it is one that another sender is slow with.
func (w *swarm) choose(p, q int32) (piece int32, part uint8, ok bool) {
	n := &w.nodes[p]
	if n.wants == 0 {
		return w.chooseSlow(p, q)
	}
	for i := range n.partials {
		t := &n.partials[i]
		if w.wanted(p, t.piece) && w.has(q, t.piece) {
			return t.piece, w.take(p, t), true
		}
	}
	piece, ok = w.rarest(p, q)
	if !ok {
		return 0, 0, false
	}
	n.partials = append(n.partials, partial{piece: piece})
	return piece, w.take(p, &n.partials[len(n.partials)-1]), true
}

// rarest returns a piece that p wants and q has.
func (w *swarm) rarest(p, q int32) (int32, bool) {
	want := w.want[int(p)*w.words : (int(p)+1)*w.words]
	have := w.have[int(q)*w.words : (int(q)+1)*w.words]
	avail := w.avail[int(p)*w.pieces : (int(p)+1)*w.pieces]
	best, least, seen := int32(-1), ^uint64(0), 0
	start := int(mix(uint64(p)<<32^uint64(w.nodes[p].haves)) % uint64(w.words))
	for i := range w.words {
		at := start + i
		if at >= w.words {
			at -= w.words
		}
		for word := want[at] & have[at]; word != 0; word &= word - 1 {
			piece := at*64 + bits.TrailingZeros64(word)
			rank := uint64(avail[piece])<<56 | mix(uint64(p)<<32|uint64(piece))>>8
			if rank < least {
				best, least = int32(piece), rank
			}
			seen++
		}
		if seen >= maxCandidates {
			break
		}
	}
	return best, best >= 0
}

// take marks the first fragment of t that is asked of nobody as asked.
func (w *swarm) take(p int32, t *partial) uint8 {
	all := w.parts(t.piece)
	part := uint8(bits.TrailingZeros8(all &^ t.taken))
	t.taken |= 1 << part
	if t.taken == all {
		w.setWant(p, t.piece, false)
	}
	return part
}

// chooseSlow returns a fragment that is on its way to p from a sender much slower than q.
func (w *swarm) chooseSlow(p, q int32) (piece int32, part uint8, ok bool) {
	n := &w.nodes[p]
	soon := w.now + 2*w.delay + 3*int64(float64(w.partLength)*w.up[q].perByte*float64(w.nodes[q].ringLen+1))
	for i := range n.partials {
		t := &n.partials[i]
		for rest := t.taken &^ t.got &^ t.twice; rest != 0 && w.has(q, t.piece); rest &= rest - 1 {
			part := uint8(bits.TrailingZeros8(rest))
			if w.arrival(p, t.piece, part) > soon {
				t.twice |= 1 << part
				return t.piece, part, true
			}
		}
	}
	return 0, 0, false
}

// arrival returns when a fragment that is on its way to p from another node will be there, and 0 if none sends it now.
func (w *swarm) arrival(p, piece int32, part uint8) int64 {
	for s := range int32(maxLinks) {
		l := &w.links[p*maxLinks+s]
		if l.peer < 0 {
			continue
		}
		if in := &w.links[l.peer*maxLinks+int32(l.back)]; in.state == busy && in.piece == piece && in.part == part {
			return in.ends
		}
	}
	return 0
}

// mix spreads x over all bits (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
