package origin

// regauge decides how many pieces a peer may have pending: Window bytes, but no more than would have an eighth of the blob
// be pending with all, and at least one.
func (o *Origin) regauge() {
	wanting := max(1, len(o.order)-o.seeds)
	w := max(1, int(min(o.conf.Window, o.conf.Size/(8*int64(wanting)))/o.conf.PieceLength))
	if w == o.window {
		return
	}
	o.window = w
	for _, p := range o.order {
		o.refresh(p)
	}
}

// room says whether p may be shown another piece. One more than its window may be pending if it was sent all of one, which it
// is verifying. It has a window of one piece until it was sent a block, so that all who come at once have their first
// piece before anybody has a second; and when it let go of a piece.
func (o *Origin) room(p *peer) bool {
	if p.closing || !p.introduced || p.complete != never {
		return false
	}
	w := o.window
	if p.sent == 0 || p.strikes > 0 {
		w = 1
	}
	if len(p.pending) > w {
		return false
	}
	unsent := 0
	for i := range p.pending {
		if p.pending[i].sent < o.size(p.pending[i].piece) {
			unsent++
		}
	}
	return unsent < w
}

// refresh puts p at its place in the lineup.
func (o *Origin) refresh(p *peer) {
	room := o.room(p)
	if room && p.slot < 0 {
		o.soil(p)
	}
	o.lineup.put(p, room)
}

// unlist takes p out of the lineup, before it changes to another part of it.
func (o *Origin) unlist(p *peer) { o.lineup.put(p, false) }

// soil has p looked at by the next Do.
func (o *Origin) soil(p *peer) {
	if !p.dirty {
		p.dirty = true
		o.dirty = append(o.dirty, p)
	}
}

// deal shows what may be shown to those who have room. Pieces without any copy suit everybody who is not struck, so each
// costs one look at the lineup; only when something became allowed are all peers asked whether it is for them.
func (o *Origin) deal() {
	for o.fresh.n > 0 && o.lineup.racks.Len() > 0 {
		p := o.lineup.first()
		i := o.pick(p)
		if i < 0 {
			break
		}
		o.show(p, i)
	}
	if o.news {
		o.news = false
		o.dealAll()
	}
	for _, p := range o.dirty {
		o.offer(p)
	}
	for _, p := range o.dirty {
		p.dirty = false
	}
	clear(o.dirty)
	o.dirty = o.dirty[:0]
}

// dealAll offers what there is to all who have room, in their order, until nothing is left.
func (o *Origin) dealAll() {
	var idle []*peer
	for o.fresh.n+o.spare.n+o.relief.n > 0 {
		p := o.lineup.first()
		if p == nil {
			break
		}
		if i := o.pick(p); i >= 0 {
			o.show(p, i)
			continue
		}
		idle = append(idle, p)
		o.unlist(p)
	}
	for _, p := range idle {
		o.lineup.put(p, o.room(p))
	}
}

// offer shows p what there is for it.
func (o *Origin) offer(p *peer) {
	for p.slot >= 0 {
		i := o.pick(p)
		if i < 0 {
			return
		}
		o.show(p, i)
	}
}

// pick chooses the piece that p is shown next, or -1: the lowest without a copy, else the lowest that may be shown once more.
// A struck peer gets nothing while it is mute, and nothing that was let go of, unless all peers are struck.
func (o *Origin) pick(p *peer) int {
	alone := o.struck == len(o.order)-o.seeds
	if p.strikes > 0 && !alone && o.mute(p, o.patience()) {
		return -1
	}
	not := &p.have
	if p.strikes > 0 && !alone {
		not = &o.letGo
	}
	if i := o.choose(p, &o.fresh, not); i >= 0 {
		return i
	}
	if i := o.choose(p, &o.spare, not); i >= 0 {
		return i
	}
	if p.hungry {
		if i := o.choose(p, &o.relief, &p.have); i >= 0 {
			return i
		}
	}
	if p.desperate {
		return o.choose(p, &o.every, &o.busy)
	}
	return -1
}

// choose is the lowest piece of a set that p neither has nor is pending with, and that is not in another set; or -1.
func (o *Origin) choose(p *peer, from, not *bits) int {
	if from.n == 0 {
		return -1
	}
	for i := from.next(0, &p.have, not); i >= 0; i = from.next(i+1, &p.have, not) {
		if p.find(i) == nil {
			return i
		}
	}
	return -1
}
