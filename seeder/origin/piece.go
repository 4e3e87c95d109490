package origin

import "time"

// never is a time at which nothing happened.
const never = time.Duration(-1)

// A piece is what is known of one.
type piece struct {
	copies    int32         // connected peers that have it
	reveals   int32         // peers that were shown it, are expected to have it soon, and keep others from being shown it
	progress  time.Duration // when a peer got it or was sent some of it
	shown     time.Duration // when it was first shown, or never
	settled   bool          // the time of its spreading is counted, or says nothing as it was shown twice
	sentWhole bool          // to one peer
	withdrawn bool
}

// ours says whether piece i is in this origin's share.
func (o *Origin) ours(i int) bool {
	return o.of <= 1 || i%o.of == o.share
}

// judge decides anew whether piece i is to be shown at once. It is called when its copies, its reveals or its owner change.
func (o *Origin) judge(i int) {
	c := &o.pieces[i]
	if c.withdrawn || c.reveals > 0 {
		o.busy.set(i)
	} else {
		o.busy.unset(i)
	}
	if c.copies > 0 || o.busy.has(i) || !o.ours(i) {
		o.fresh.unset(i)
		return
	}
	if o.fresh.set(i) {
		o.spare.unset(i)
		o.relief.unset(i)
		o.news = true
	}
}

// gained counts one more copy of piece i.
func (o *Origin) gained(i int) {
	c := &o.pieces[i]
	c.copies++
	switch c.copies {
	case 1:
		o.held++
	case 2:
		o.spread++
		if c.shown != never && !c.settled {
			c.settled = true
			o.spreads.add(o.now - c.shown)
		}
	}
	o.letGo.unset(i)
	o.judge(i)
}

// lost counts one copy of piece i less.
func (o *Origin) lost(i int) {
	c := &o.pieces[i]
	c.copies--
	switch c.copies {
	case 0:
		o.held--
	case 1:
		o.spread--
	}
	o.judge(i)
}

// progressed notes that piece i is on its way, which ends what was allowed because it was not.
func (o *Origin) progressed(i int) {
	o.pieces[i].progress = o.now
	o.spare.unset(i)
	o.relief.unset(i)
}

// Share tells the Origin that it is the index-th of so many live origins, counted from 0. It shows the pieces whose index
// modulo of is index, and those of others only to who starves. An index outside 0 to of-1 has no share. With an of
// of 0 or 1 it is alone, as at first, and everything is its share.
func (o *Origin) Share(now time.Duration, index, of int) {
	o.advance(now)
	if index == o.share && of == o.of {
		return
	}
	o.share, o.of = index, of
	o.newcomer = o.now // the others' clock starts anew
	for i := range o.pieces {
		o.judge(i)
	}
}

// Withdraw tells the Origin that a piece is damaged here: it is never again shown or sent. Blocks of it that were asked
// for are rejected. A piece that does not exist is ignored.
func (o *Origin) Withdraw(now time.Duration, piece int) {
	o.advance(now)
	if piece < 0 || piece >= len(o.pieces) || o.pieces[piece].withdrawn {
		return
	}
	o.pieces[piece].withdrawn = true
	for _, p := range o.order {
		o.discard(p, piece)
		o.forget(p, piece)
	}
	o.spare.unset(piece)
	o.relief.unset(piece)
	o.judge(piece)
}
