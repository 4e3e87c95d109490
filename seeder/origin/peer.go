package origin

import (
	"fmt"
	mathbits "math/bits"
	"time"
)

// A peer is a connection.
type peer struct {
	id   Peer
	rack *rack
	at   int // its index in Origin.order

	have     bits
	shown    bits      // ever, by us
	pending  []reveal  // shown and not finished
	queue    []Block   // asked for and not sent
	awaits   bool      // it is in Origin.line
	delivery *delivery // the one that is under way, or nil
	sent     int64     // bytes of the blob
	refused  int       // requests in a row

	joined   time.Duration
	heard    time.Duration // when it last said anything
	gain     time.Duration // when it last got a piece or was sent a block
	fed      time.Duration // when it last got a piece that it was not being sent by us
	complete time.Duration // when it had everything, or never
	struckAt time.Duration // when it last let go of a piece
	strikes  int

	introduced bool // it has said what it has, or has had the time to
	hungry     bool // it starved, and there is something for it
	desperate  bool // it starved, and has got nothing but from us for very long
	closing    bool
	dirty      bool   // it is in Origin.dirty
	served     uint64 // Origin.serial when it joined or was last shown something
	slot       int    // its index in its queue of the lineup, or -1
}

// A reveal is a piece that a peer was shown and has not finished.
type reveal struct {
	piece int
	shown time.Duration
	last  time.Duration // when it was shown, or when more of it was asked for or sent
	asked int64         // bytes ever asked for; those asked for twice count twice
	sent  int64         // bytes
	since int64         // Origin.sent when it was shown
	quota int64         // Origin.sent when what is asked for ought to have been sent, first come, first served
	among int           // the most peers that waited for blocks at once since it was shown
	late  bool          // it no longer keeps others from being shown the piece
}

// Join tells the Origin of a peer after its handshake. The rack may be empty if it is unknown. The peer has nothing until
// it says so, and is shown nothing before it says what it has, or has kept silent for half a second. A number that is in
// use is ignored.
func (o *Origin) Join(now time.Duration, p Peer, inRack string) {
	o.advance(now)
	if o.peers[p] != nil {
		return
	}
	o.serial++
	q := &peer{id: p, at: len(o.order), have: newBits(o.conf.Pieces), shown: newBits(o.conf.Pieces), joined: o.now, heard: o.now,
		gain: o.now, fed: o.now, complete: never, struckAt: never, served: o.serial, slot: -1}
	q.rack = o.lineup.enter(inRack)
	o.peers[p] = q
	o.order = append(o.order, q)
	o.newcomer = o.now
	o.regauge()
}

// Leave tells the Origin that a peer is gone, and what it had and was shown with it.
func (o *Origin) Leave(now time.Duration, p Peer) {
	o.advance(now)
	q := o.peers[p]
	if q == nil {
		return
	}
	delete(o.peers, p)
	last := o.order[len(o.order)-1]
	o.order[q.at], last.at = last, q.at
	o.order[len(o.order)-1] = nil
	o.order = o.order[:len(o.order)-1]
	q.closing = true // it has room for nothing
	o.refresh(q)
	if q.complete != never {
		o.seeds--
	}
	o.pardon(q)
	o.feed(q, false)
	for _, b := range q.queue {
		o.queued -= b.Length
	}
	q.queue = nil
	o.settle(q)
	q.have.each(o.lost)
	for len(q.pending) > 0 {
		o.forget(q, q.pending[len(q.pending)-1].piece)
	}
	o.lineup.leave(q.rack)
	o.regauge()
}

// live is the peer of that number, which has just been heard, or nil if nothing of it matters.
func (o *Origin) live(now time.Duration, p Peer) *peer {
	o.advance(now)
	q := o.peers[p]
	if q == nil || q.closing {
		return nil
	}
	if q.heard = o.now; q.strikes > 0 {
		o.soil(q)
	}
	return q
}

// introduce notes that it is known what q has.
func (o *Origin) introduce(q *peer) {
	if !q.introduced {
		q.introduced = true
		o.refresh(q)
	}
}

// Bitfield tells the Origin what a peer says it has, in the bytes of BEP 3. What it said earlier remains. An error is a
// bitfield of another length or with a spare bit set.
func (o *Origin) Bitfield(now time.Duration, p Peer, have []byte) error {
	q := o.live(now, p)
	if q == nil {
		return nil
	}
	n := o.conf.Pieces
	if len(have) != (n+7)/8 {
		return fmt.Errorf("a bitfield of %d bytes for %d pieces", len(have), n)
	}
	if n%8 != 0 && have[len(have)-1]<<(n%8) != 0 {
		return fmt.Errorf("a bitfield with a piece after the last, which is %d", n-1)
	}
	for at, b := range have {
		for ; b != 0; b &^= 0x80 >> mathbits.LeadingZeros8(b) {
			o.has(q, at*8+mathbits.LeadingZeros8(b))
		}
	}
	o.introduce(q)
	return nil
}

// Have tells the Origin that a peer says it has a piece. An error is a piece that does not exist.
func (o *Origin) Have(now time.Duration, p Peer, piece int) error {
	q := o.live(now, p)
	if q == nil {
		return nil
	}
	if piece < 0 || piece >= o.conf.Pieces {
		return fmt.Errorf("a HAVE of piece %d of %d", piece, o.conf.Pieces)
	}
	if o.has(q, piece) {
		o.progressed(piece)
	}
	o.introduce(q)
	return nil
}

// HaveAll tells the Origin that a peer says it has everything.
func (o *Origin) HaveAll(now time.Duration, p Peer) {
	if q := o.live(now, p); q != nil {
		for i := range o.pieces {
			o.has(q, i)
		}
		o.introduce(q)
	}
}

// HaveNone tells the Origin that a peer says it has nothing yet.
func (o *Origin) HaveNone(now time.Duration, p Peer) {
	if q := o.live(now, p); q != nil {
		o.introduce(q)
	}
}

// has counts a piece that q has, and says whether that is new.
func (o *Origin) has(q *peer, i int) bool {
	if !q.have.set(i) {
		return false
	}
	q.gain = o.now
	if q.find(i) == nil {
		q.fed, q.desperate = o.now, false
	}
	o.gained(i)
	o.finish(q, i)
	if q.have.n == o.conf.Pieces {
		q.complete = o.now
		o.seeds++
		o.feed(q, false)
		o.pardon(q)
		o.refresh(q)
		o.regauge()
	}
	return true
}
