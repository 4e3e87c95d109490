package origin

import (
	"slices"
	"time"
)

// find is the reveal of piece i to p, or nil.
func (p *peer) find(i int) *reveal {
	for k := range p.pending {
		if p.pending[k].piece == i {
			return &p.pending[k]
		}
	}
	return nil
}

// show reveals piece i to p.
func (o *Origin) show(p *peer, i int) {
	if !o.fresh.has(i) {
		o.raised++
	}
	if c := &o.pieces[i]; c.shown == never {
		c.shown, o.latest = o.now, o.now
	} else {
		c.settled = true
	}
	o.do(Reveal, p, Block{Piece: i})
	o.adopt(p, i)
}

// adopt counts piece i as being on its way to p.
func (o *Origin) adopt(p *peer, i int) {
	o.spare.unset(i)
	o.relief.unset(i)
	p.shown.set(i)
	p.pending = append(p.pending, reveal{piece: i, shown: o.now, last: o.now, since: o.sent})
	o.serial++
	p.served, p.rack.served = o.serial, o.serial
	p.rack.outstanding++
	o.pieces[i].reveals++
	o.judge(i)
	o.refresh(p)
}

// finish ends the reveal of a piece that p has now. Blocks of it that still wait are left to p to cancel: one may be halfway
// into its socket, and a block that comes after its rejection is a violation to some clients.
func (o *Origin) finish(p *peer, i int) {
	r := p.find(i)
	if r == nil {
		return
	}
	if !r.late && r.sent >= o.size(i) {
		o.finishes.add(o.now - r.shown)
		o.absolve(p)
	}
	o.forget(p, i)
}

// forget ends the reveal of piece i to p, if there is one.
func (o *Origin) forget(p *peer, i int) {
	at := slices.IndexFunc(p.pending, func(r reveal) bool { return r.piece == i })
	if at < 0 {
		return
	}
	late := p.pending[at].late
	p.pending = slices.Delete(p.pending, at, at+1)
	p.rack.outstanding--
	if !late {
		o.pieces[i].reveals--
		o.judge(i)
	}
	o.settle(p)
	o.refresh(p)
}

// postpone lets others be shown the piece of a reveal that takes too long.
func (o *Origin) postpone(r *reveal) {
	if r.late {
		return
	}
	r.late = true
	o.pieces[r.piece].reveals--
	if o.pieces[r.piece].copies == 0 {
		o.letGo.set(r.piece)
	}
	o.judge(r.piece)
}

// strike remembers that p let go of something.
func (o *Origin) strike(p *peer) {
	if p.strikes == 0 {
		o.unlist(p)
		o.struck++
	}
	p.strikes++
	p.struckAt = o.now
	o.refresh(p)
}

// absolve takes back one strike of a peer that finished in time what it was shown and sent.
func (o *Origin) absolve(p *peer) {
	switch p.strikes {
	case 0:
		return
	case 1:
		o.unlist(p)
		o.struck--
	}
	p.strikes--
	o.refresh(p)
}

// pardon takes back all strikes of a peer, of which nothing is expected any more.
func (o *Origin) pardon(p *peer) {
	if p.strikes == 0 {
		return
	}
	o.unlist(p)
	o.struck--
	p.strikes = 0
	o.refresh(p)
}

// mute says whether p has said nothing since it let go of a piece. It is not offered more for a while.
func (o *Origin) mute(p *peer, patience time.Duration) bool {
	return p.strikes > 0 && p.heard <= p.struckAt && o.now-p.struckAt < 4*patience
}
