package origin

import (
	"fmt"
	"slices"
	"time"
)

// The limits of what is forgiven.
const (
	maxRefused = 4 * MaxQueued // requests in a row for what a peer was not shown
	askedTwice = 2             // times that the bytes of a piece are sent to one peer: once more than needed
)

// Request tells the Origin that a peer asks for a block. It is sent if the peer was shown the piece and has not let go of
// it, twice at most, and rejected otherwise. An error is a block outside its piece or longer than MaxBlock, more
// than MaxQueued blocks waiting, or an endless series of requests that are rejected.
func (o *Origin) Request(now time.Duration, p Peer, r Block) error {
	q := o.live(now, p)
	if q == nil {
		return nil
	}
	if r.Piece < 0 || r.Piece >= o.conf.Pieces {
		return fmt.Errorf("a request of piece %d of %d", r.Piece, o.conf.Pieces)
	}
	size := o.size(r.Piece)
	if r.Length < 1 || r.Length > MaxBlock || r.Begin < 0 || r.Begin > size-r.Length {
		return fmt.Errorf("a request of %d bytes at %d of piece %d, which has %d", r.Length, r.Begin, r.Piece, size)
	}
	if len(q.queue) >= MaxQueued {
		return fmt.Errorf("more than %d requests at once", MaxQueued)
	}
	o.introduce(q)
	v := o.grant(q, r.Piece)
	if v == nil || v.asked+r.Length > askedTwice*size {
		if q.refused++; q.refused > maxRefused {
			return fmt.Errorf("%d requests in a row for pieces that it was not shown", q.refused)
		}
		o.do(Reject, q, r)
		return nil
	}
	if slices.Contains(q.queue, r) {
		return nil // it is on its way
	}
	q.refused = 0
	o.queued += r.Length
	v.asked += r.Length
	v.quota = o.sent + o.queued
	v.last = o.now
	q.queue = append(q.queue, r)
	if q.delivers(r.Piece) {
		o.do(Send, q, r)
	}
	o.settle(q)
	return nil
}

// grant is the reveal by which p may ask for piece i, or nil. A peer that let go of a piece which nobody else was shown
// since takes it up again by asking for it.
func (o *Origin) grant(p *peer, i int) *reveal {
	if v := p.find(i); v != nil {
		return v
	}
	if !p.shown.has(i) || p.have.has(i) || !o.fresh.has(i) || len(p.pending) > o.window {
		return nil
	}
	o.adopt(p, i)
	return p.find(i)
}

// Cancel tells the Origin that a peer no longer wants a block, and whether the caller has taken it out of its queue. It is
// rejected, as BEP 6 wants it, unless it is being written: it was handed out, and is not in the queue any more.
func (o *Origin) Cancel(now time.Duration, p Peer, r Block, taken bool) {
	q := o.live(now, p)
	if q == nil || !taken && q.delivers(r.Piece) {
		return
	}
	if o.unqueue(q, r) {
		o.do(Reject, q, r)
	}
}

// Sent tells the Origin that the last byte of a block has left for a peer's socket.
func (o *Origin) Sent(now time.Duration, p Peer, r Block) {
	o.advance(now)
	q := o.peers[p]
	if q == nil || r.Piece < 0 || r.Piece >= o.conf.Pieces || r.Length < 1 {
		return
	}
	o.sent += r.Length
	o.busyAt = o.now
	first := q.sent == 0
	q.sent += r.Length
	q.gain = o.now
	o.progressed(r.Piece)
	size, whole := o.size(r.Piece), false
	if d := q.delivery; d != nil && d.piece == r.Piece { // which outlives a reveal that ends because the peer is the first to tell
		whole = d.sent < size && d.sent+r.Length >= size
		d.sent += r.Length
	}
	if v := q.find(r.Piece); v != nil {
		whole = whole || v.sent < size && v.sent+r.Length >= size
		v.sent += r.Length
		v.last = o.now
	}
	o.unqueue(q, r)
	if c := &o.pieces[r.Piece]; whole && !c.sentWhole {
		c.sentWhole = true
		o.unsent--
	}
	if first || whole {
		o.refresh(q) // there may be room for more
	}
}

// unqueue takes a block out of p's queue, and says whether it was there.
func (o *Origin) unqueue(p *peer, r Block) bool {
	at := slices.Index(p.queue, r)
	if at < 0 {
		return false
	}
	o.queued -= r.Length
	p.queue = slices.Delete(p.queue, at, at+1)
	o.settle(p)
	return true
}

// discard rejects the blocks of piece i that p asked for.
func (o *Origin) discard(p *peer, i int) {
	p.queue = slices.DeleteFunc(p.queue, func(r Block) bool {
		if r.Piece != i {
			return false
		}
		o.queued -= r.Length
		o.do(Reject, p, r)
		return true
	})
	o.settle(p)
}

// waits says whether p waits for blocks of piece i.
func (p *peer) waits(i int) bool {
	return slices.ContainsFunc(p.queue, func(r Block) bool { return r.Piece == i })
}
