package simulate

import (
	"fmt"

	"github.com/samara-hpc/samara/seeder/origin"
)

// A controller is an origin behind an uplink.
type controller struct {
	origin  *origin.Origin
	up      line
	dead    bool
	sending bool
	driven  bool // drive is at it
	actions []origin.Action
	ring    []int32 // feeds with blocks to send, in the order in which they are served
	byPeer  map[origin.Peer]int32
	wake    int64 // when an evTick is due; never: none is
	sent    int64 // bytes
	useful  int64 // of those, that a node had no other copy of
}

// A feed is a connection of a node to a controller. It is not the origin's business how it is cut into packets: what the
// origin sends stands in queue.
type feed struct {
	node, controller int32
	peer             origin.Peer
	open, joined     bool
	ready, busy      bool
	queue            []origin.Block
	pending          int64      // bytes that came of fragments that are not whole
	asked            []fragment // that the origin has not sent yet
	shown            []int32    // pieces that the node knows of and has not got
}

type fragment struct {
	piece int32
	part  uint8
}

func (w *swarm) layControllers() error {
	for i := range w.Controllers {
		o, err := origin.New(origin.Config{Pieces: w.pieces, PieceLength: w.PieceLength, Size: w.Size, Window: w.Net.Window, Seed: w.Seed})
		if err != nil {
			return err
		}
		o.Share(0, i, w.Controllers)
		w.controllers = append(w.controllers, controller{origin: o, up: newLine(w.ControllerRate, w.Net.Overhead),
			byPeer: map[origin.Peer]int32{}, wake: never})
		w.drive(int32(i))
	}
	return nil
}

// callControllers has node p connect to all controllers that it has no connection with.
func (w *swarm) callControllers(p int32) {
	for c := range w.controllers {
		if !w.controllers[c].dead && w.feedOf(p, int32(c)) < 0 {
			f := int32(len(w.feeds))
			w.feeds = append(w.feeds, feed{node: p, controller: int32(c), peer: origin.Peer(f), open: true})
			w.nodes[p].feeds = append(w.nodes[p].feeds, f)
			w.post(event{at: w.now + callTrip*w.delay, kind: evJoin, a: f})
		}
	}
}

// feedOf returns the feed of p from controller c, or -1.
func (w *swarm) feedOf(p, c int32) int32 {
	for _, f := range w.nodes[p].feeds {
		if w.feeds[f].controller == c && w.feeds[f].open {
			return f
		}
	}
	return -1
}

// join ends a call of a controller.
func (w *swarm) join(f int32) {
	d := &w.feeds[f]
	c, n := &w.controllers[d.controller], &w.nodes[d.node]
	if !d.open || c.dead || n.mode != fetching {
		d.open = false
		return
	}
	d.joined = true
	c.byPeer[d.peer] = f
	c.origin.Join(w.time(), d.peer, w.racks[n.rack])
	if n.haves == 0 {
		c.origin.HaveNone(w.time(), d.peer)
	} else {
		w.check(c.origin.Bitfield(w.time(), d.peer, w.bitfield(d.node)))
	}
	w.drive(d.controller)
}

// bitfield returns what a node has as BEP 3 writes it.
func (w *swarm) bitfield(n int32) []byte {
	b := make([]byte, (w.pieces+7)/8)
	for p := range int32(w.pieces) {
		if w.has(n, p) {
			b[p/8] |= 0x80 >> (p % 8)
		}
	}
	return b
}

// tellControllers lets the origins that p is connected with know that it has a piece.
func (w *swarm) tellControllers(p, piece int32) {
	for _, f := range w.nodes[p].feeds {
		d := &w.feeds[f]
		for i, shown := range d.shown {
			if shown == piece {
				d.shown[i] = d.shown[len(d.shown)-1]
				d.shown = d.shown[:len(d.shown)-1]
				break
			}
		}
		if d.joined {
			w.check(w.controllers[d.controller].origin.Have(w.time(), d.peer, int(piece)))
			w.drive(d.controller)
		}
	}
}

// drive does what the origin of controller c wants done.
func (w *swarm) drive(c int32) {
	k := &w.controllers[c]
	if k.dead || k.driven {
		return
	}
	k.driven = true
	for {
		k.actions = k.origin.Do(k.actions[:0])
		if len(k.actions) == 0 {
			break
		}
		for _, a := range k.actions {
			w.act(c, a)
		}
	}
	k.driven = false
	if at, ok := k.origin.Wake(); ok {
		at := max(int64(at), w.now)
		if at < k.wake {
			k.wake = at
			w.post(event{at: at, kind: evTick, a: c})
		}
	}
	w.serveFeeds(c)
}

func (w *swarm) act(c int32, a origin.Action) {
	k := &w.controllers[c]
	f, known := k.byPeer[a.Peer]
	if !known {
		return
	}
	d := &w.feeds[f]
	switch a.Kind {
	case origin.Reveal:
		d.shown = append(d.shown, int32(a.Block.Piece))
		w.post(event{at: w.now + 2*w.delay, kind: evReveal, a: f, b: int32(a.Block.Piece)})
	case origin.Send:
		d.queue = append(d.queue, a.Block)
		if !d.ready && !d.busy {
			d.ready = true
			k.ring = append(k.ring, f)
		}
	case origin.Reject:
		w.unask(d, int32(a.Block.Piece), uint8(a.Block.Begin/w.partLength))
	case origin.Close:
		w.closeFeed(f)
	}
}

// unask takes back that d's node asked the origin for a fragment.
func (w *swarm) unask(d *feed, piece int32, part uint8) {
	for i, a := range d.asked {
		if a == (fragment{piece, part}) {
			d.asked = append(d.asked[:i], d.asked[i+1:]...)
			w.release(d.node, piece, part)
			return
		}
	}
}

// reveal has the node of a feed ask for what it lacks of a piece that the origin showed it.
func (w *swarm) reveal(f, piece int32) {
	d := &w.feeds[f]
	n := &w.nodes[d.node]
	if !d.joined || n.mode != fetching || !w.wanted(d.node, piece) {
		return
	}
	t := n.begin(piece)
	for all := w.parts(piece); t.taken != all; {
		part := w.take(d.node, t)
		d.asked = append(d.asked, fragment{piece, part})
		begin, length := w.part(piece, part)
		for end := begin + length; begin < end; begin += w.block {
			w.check(w.controllers[d.controller].origin.Request(w.time(), d.peer,
				origin.Block{Piece: int(piece), Begin: begin, Length: min(w.block, end-begin)}))
		}
	}
	w.drive(d.controller)
}

// begin returns n's partial of a piece.
func (n *node) begin(piece int32) *partial {
	for i := range n.partials {
		if n.partials[i].piece == piece {
			return &n.partials[i]
		}
	}
	n.partials = append(n.partials, partial{piece: piece})
	return &n.partials[len(n.partials)-1]
}

// askAgain has p ask the controllers for a piece that they showed it and that nobody else sends now.
func (w *swarm) askAgain(p, piece int32) {
	for _, f := range w.nodes[p].feeds {
		for _, shown := range w.feeds[f].shown {
			if shown == piece && w.feeds[f].joined {
				w.post(event{at: w.now + w.delay, kind: evReveal, a: f, b: piece})
			}
		}
	}
}

// serveFeeds gives the uplink of a controller, if it is free, to the next feed with a block to send.
func (w *swarm) serveFeeds(c int32) {
	k := &w.controllers[c]
	for !k.dead && !k.sending && len(k.ring) > 0 {
		f := k.ring[0]
		k.ring = k.ring[1:]
		d := &w.feeds[f]
		d.ready = false
		if !d.joined || len(d.queue) == 0 {
			continue
		}
		b := d.queue[0]
		p := d.node
		left := k.up.take(w.now, b.Length)
		ends := max(left, w.rackDown[w.nodes[p].rack].take(w.now, b.Length), w.down[p].take(w.now, b.Length), w.processor[p].take(w.now, b.Length))
		k.sending, d.busy = true, true
		k.sent += b.Length
		if left == ends {
			w.post(event{at: ends, kind: evBlock, a: f, b: 1})
			return
		}
		w.post(event{at: left, kind: evOriginUp, a: c})
		w.post(event{at: ends, kind: evBlock, a: f})
	}
}

// blockDone ends the way of a feed's block.
func (w *swarm) blockDone(e event) {
	d := &w.feeds[e.a]
	k := &w.controllers[d.controller]
	if e.b == 1 {
		k.sending = false
	}
	if d.joined && !k.dead && w.alive(d.node) {
		b := d.queue[0]
		d.queue, d.busy = d.queue[1:], false
		if len(d.queue) > 0 {
			d.ready = true
			k.ring = append(k.ring, e.a)
		}
		k.origin.Sent(w.time(), d.peer, b)
		w.arrived(d, b)
	}
	w.drive(d.controller)
}

// arrived gives a feed's node a block; with the last of a fragment, it has that.
func (w *swarm) arrived(d *feed, b origin.Block) {
	piece, part := int32(b.Piece), uint8(b.Begin/w.partLength)
	begin, length := w.part(piece, part)
	d.pending += b.Length
	if b.Begin+b.Length < begin+length {
		return
	}
	d.pending -= length
	for i, a := range d.asked {
		if a == (fragment{piece, part}) {
			d.asked = append(d.asked[:i], d.asked[i+1:]...)
			break
		}
	}
	w.receive(d.node, piece, part, length, &w.controllers[d.controller].useful)
}

// closeFeed ends a connection with a controller.
func (w *swarm) closeFeed(f int32) {
	d := &w.feeds[f]
	if !d.open {
		return
	}
	k := &w.controllers[d.controller]
	joined := d.joined
	d.open, d.joined = false, false
	w.tally.dropped += d.pending
	if d.busy {
		w.tally.dropped += d.queue[0].Length
	}
	d.queue, d.shown, d.pending, d.busy = nil, nil, 0, false
	asked := d.asked
	d.asked = nil
	for _, a := range asked {
		w.release(d.node, a.piece, a.part)
	}
	if joined && !k.dead {
		delete(k.byPeer, d.peer)
		k.origin.Leave(w.time(), d.peer)
		w.drive(d.controller)
	}
}

// tick lets an origin see the time.
func (w *swarm) tick(c int32) {
	k := &w.controllers[c]
	if k.wake > w.now || k.dead {
		return
	}
	k.wake = never
	k.origin.Tick(w.time())
	w.drive(c)
}

// killController ends the first controller that is left.
func (w *swarm) killController() {
	for c := range w.controllers {
		k := &w.controllers[c]
		if k.dead {
			continue
		}
		k.dead = true
		for f := range w.feeds {
			if w.feeds[f].controller == int32(c) {
				w.closeFeed(int32(f))
			}
		}
		w.post(event{at: w.now + int64(w.Net.Lag), kind: evShare})
		return
	}
}

// share lets the controllers that are left share the pieces.
func (w *swarm) share() {
	var left []int
	for c := range w.controllers {
		if !w.controllers[c].dead {
			left = append(left, c)
		}
	}
	for i, c := range left {
		w.controllers[c].origin.Share(w.time(), i, len(left))
		w.drive(int32(c))
	}
}

// check keeps the first refusal of an origin: the model broke the protocol.
func (w *swarm) check(err error) {
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("simulate: the origin refuses a node of the model: %w", err)
	}
}
