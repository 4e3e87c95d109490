package origin

import (
	"cmp"
	"slices"
	"time"
)

// What time does.
const (
	sweepsPerStarvation = 20                     // how often the clocks are looked at
	introduction        = 500 * time.Millisecond // until a peer that does not say what it has is taken to have nothing
	lingering           = 5 * time.Second        // that a peer which has everything stays, while others want the place
	witnesses           = 8                      // complete peers that stay all the same: they show that the blob is out there
	patienceFactor      = 4                      // medians, or waits, until something counts as far too long
	longestPatience     = time.Minute
)

// Wake is when Tick is next needed, and false if it is not before another event.
func (o *Origin) Wake() (time.Duration, bool) {
	if len(o.order) == o.seeds {
		return 0, false
	}
	return o.swept + o.conf.Starvation/sweepsPerStarvation, true
}

// Tick tells the Origin what time it is.
func (o *Origin) Tick(now time.Duration) {
	o.advance(now)
	if at, ok := o.Wake(); !ok || o.now < at {
		return
	}
	o.swept = o.now
	patience, waiting := o.patience(), 0
	for _, p := range o.order {
		waiting += min(len(p.queue), 1)
	}
	for _, p := range o.order {
		if !p.introduced && o.now-p.joined >= introduction {
			o.introduce(p)
		}
		o.review(p, patience, waiting)
		o.starve(p, patience)
	}
	o.raise(patience)
	o.release()
}

// patience is R, how long nothing may happen before something is done about it.
func (o *Origin) patience() time.Duration {
	m, _ := o.spreads.median()
	return min(max(o.conf.Starvation, patienceFactor*m), max(o.conf.Starvation, longestPatience))
}

// review takes from p the pieces that it does not fetch, and lets others be shown those that take it too long. So many
// peers wait for blocks.
func (o *Origin) review(p *peer, patience time.Duration, waiting int) {
	if p.strikes > 0 && p.slot >= 0 {
		o.soil(p) // it may have been mute for long enough
	}
	for k := len(p.pending) - 1; k >= 0; k-- {
		r := &p.pending[k]
		r.among = max(r.among, waiting, 1)
		switch {
		case o.now-r.last >= patience && !p.waits(r.piece):
			o.letGoOf(p, r)
		case !r.late && o.drags(r, patience):
			o.postpone(r)
			o.strike(p)
		}
	}
}

// drags says whether a peer takes far longer than others with a piece, and the origin is not to blame: it has sent everything that
// was asked for earlier, and to this peer less than a quarter of what was its turn. When somebody starves, four times as long is
// too long in any case.
func (o *Origin) drags(r *reveal, patience time.Duration) bool {
	m, _ := o.finishes.median()
	slow := max(patience, patienceFactor*m)
	took := o.now - r.shown
	behind := o.sent >= r.quota && r.sent*patienceFactor*int64(r.among) < o.sent-r.since
	return took >= slow && behind || took >= patienceFactor*slow && o.hungry > 0
}

// letGoOf ends a reveal that came to nothing.
func (o *Origin) letGoOf(p *peer, r *reveal) {
	i := r.piece
	if o.pieces[i].copies == 0 {
		o.letGo.set(i)
	}
	o.forget(p, i)
	o.strike(p)
}

// starve decides whether p starves.
func (o *Origin) starve(p *peer, patience time.Duration) {
	if p.complete != never || !p.introduced || p.closing || o.mute(p, patience) {
		o.feed(p, false)
		return
	}
	if len(p.pending) == 0 && o.now-p.gain >= patience {
		o.feed(p, true)
		p.desperate = o.now-p.fed >= patienceFactor*patience
	} else if p.hungry && o.choose(p, &o.relief, &p.have) < 0 {
		o.feed(p, false)
	}
	if p.desperate {
		o.soil(p)
	}
}

// feed notes whether p is fed more than its share.
func (o *Origin) feed(p *peer, hungry bool) {
	if p.hungry == hungry {
		return
	}
	p.hungry = hungry
	if hungry {
		o.hungry++
		o.news = true
		return
	}
	if o.hungry--; o.hungry == 0 {
		o.relief.reset()
	}
}

// raise allows one more copy of the pieces that make no progress: to who starves, or to anybody if a piece stays with the only
// peer that has it while most others spread, and there were new ones until lately.
func (o *Origin) raise(patience time.Duration) {
	most := o.held > 0 && 4*o.spread >= 3*o.held && o.now-o.latest < 2*patience
	if o.hungry == 0 && !most {
		return
	}
	for i := range o.pieces {
		c := &o.pieces[i]
		lacking := len(o.order) - int(c.copies)
		if c.withdrawn || lacking == 0 || c.reveals > 0 || o.fresh.has(i) {
			continue
		}
		due := min(max(c.progress, o.newcomer)+patience, c.progress+patienceFactor*patience)
		if o.now < due {
			continue
		}
		if o.hungry > 0 && o.relief.set(i) {
			o.news = true
		}
		if most && c.copies == 1 && lacking > 1 && o.ours(i) && o.spare.set(i) {
			o.news = true
		}
	}
}

// release hangs up on peers that have everything, those first that had it first, while others lack something.
func (o *Origin) release() {
	if o.seeds <= witnesses {
		return
	}
	var staying []*peer
	for _, p := range o.order {
		if p.complete != never && !p.closing {
			staying = append(staying, p)
		}
	}
	slices.SortFunc(staying, func(a, b *peer) int {
		return cmp.Or(cmp.Compare(a.complete, b.complete), cmp.Compare(a.id, b.id))
	})
	for _, p := range staying[:max(0, len(staying)-witnesses)] {
		if o.now-p.complete >= lingering {
			p.closing = true
			o.out = append(o.out, Action{Kind: Close, Peer: p.id, Why: "complete"})
		}
	}
}
