package origin

import (
	"slices"
	"time"
)

// deliveredAtOnce is how many peers are sent a piece at a time. Only a whole piece can be passed on: when the first pieces of
// 64 peers leave side by side, nobody has anything to pass on until nearly all have left. But a peer whose link is full of
// what ten others send it takes an eleventh of what it could, so that fewer would leave the origin's own link idle.
// Simulated, 64 and 128 equal nodes take 1.17 and 1.18 times the limit with 4, 1.07 and 1.08 with 8 to 16, 1.13 and 1.22 with
// all at once.
const deliveredAtOnce = 16

// A delivery is a piece on its way to a peer: the blocks of it that are asked for are handed out, those of other pieces
// wait. It lasts until all of the piece has been sent, also while the peer has asked for nothing more of it yet: clients
// begin with a request or two at a time, and if others were let go in the meantime, all would leave side by side after all.
type delivery struct {
	piece int
	begun time.Duration
	since int64 // Origin.sent when it began
	sent  int64 // bytes of the piece that the peer has been sent, in earlier deliveries too
}

// delivers says whether p is being sent piece i now.
func (p *peer) delivers(i int) bool { return p.delivery != nil && p.delivery.piece == i }

// await has p, which asks for something, wait for a delivery unless it does or has one: behind all others, or before them
// if it is in the middle of a piece.
func (o *Origin) await(p *peer) {
	if p.awaits || p.delivery != nil {
		return
	}
	p.awaits = true
	if r := p.find(p.queue[0].Piece); r != nil && r.sent > 0 {
		o.line = slices.Insert(o.line, 0, p)
		return
	}
	o.line = append(o.line, p)
}

// deliver begins deliveries to those who wait.
func (o *Origin) deliver() {
	for len(o.line) > 0 && o.delivering() < deliveredAtOnce {
		p := o.line[0]
		o.line = slices.Delete(o.line, 0, 1)
		p.awaits = false
		p.delivery = &delivery{piece: p.queue[0].Piece, begun: o.now, since: o.sent}
		if r := p.find(p.delivery.piece); r != nil {
			p.delivery.sent = r.sent
		}
		o.deliveries = append(o.deliveries, p.delivery)
		for _, b := range p.queue {
			if p.delivers(b.Piece) {
				o.do(Send, p, b)
			}
		}
	}
}

// delivering counts the deliveries that others wait for: not those that fall far behind, or a few slow or frozen peers
// would keep everybody waiting.
func (o *Origin) delivering() int {
	n := 0
	for _, d := range o.deliveries {
		if !o.lags(d) {
			n++
		}
	}
	return n
}

// lags says whether a delivery takes so long that four times as much has been sent meanwhile as all could have been sent
// side by side, or that nothing at all is sent any more. A slow link is silent for a second or two at first, when the kernel has
// taken the first blocks for everybody and none has left.
func (o *Origin) lags(d *delivery) bool {
	return o.sent-d.since >= patienceFactor*deliveredAtOnce*o.conf.PieceLength ||
		o.now-max(d.begun, o.busyAt) >= o.conf.Starvation/2
}

// settle ends the delivery to p if nothing is left of it, or if p asks for something else first, and has p wait for the
// next if it asks for any.
func (o *Origin) settle(p *peer) {
	if d := p.delivery; d != nil && !p.waits(d.piece) && (d.sent >= o.size(d.piece) || p.find(d.piece) == nil || len(p.queue) > 0) {
		p.delivery = nil
		o.deliveries = slices.DeleteFunc(o.deliveries, func(e *delivery) bool { return e == d })
	}
	if len(p.queue) > 0 {
		o.await(p)
	} else if p.awaits {
		p.awaits = false
		o.line = slices.DeleteFunc(o.line, func(q *peer) bool { return q == p })
	}
}
