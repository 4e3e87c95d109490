package simulate

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/samara-hpc/samara/seeder/handout"
)

const (
	tableAge = 500_000_000 // nanoseconds that controllers answer from one table, unless a quarter more nodes have reported
	callTrip = 4           // messages until a connection stands and the bitfields are exchanged
)

// arrive makes a node want the image.
func (w *swarm) arrive(p int32) {
	n := &w.nodes[p]
	if n.mode != absent {
		return // it died on the way
	}
	n.mode, n.arrived, n.progressed = fetching, w.now, w.now
	w.post(event{at: w.now + rand64(w.random, int64(w.Net.Jitter)), kind: evAsk, a: p})
}

func rand64(r *rand.Rand, below int64) int64 {
	if below <= 0 {
		return 0
	}
	return r.Int64N(below)
}

// ask has a node report what it has, and call whom the hand-out names.
func (w *swarm) ask(p int32) {
	n := &w.nodes[p]
	if n.mode != fetching {
		return
	}
	if w.graph != nil {
		w.follow(p)
		return
	}
	again := w.Net.Ask
	if !n.known {
		again = min(again, secondAsk)
	}
	w.tell(p)
	starving := w.now-n.progressed > int64(starvingAfter)
	if w.dirty && (w.now-w.dated >= tableAge || 4*w.reported > 5*len(w.members)) {
		w.draw()
	}
	a := w.table.For(handout.Question{Name: w.names[p], Rack: w.racks[n.rack], Starving: starving})
	w.keep(p, a.Peers)
	for _, peer := range a.Peers {
		w.call(p, nodeAt(peer))
	}
	if a.Origin {
		w.callControllers(p)
	}
	w.askLater(p, again)
}

// keep has a node hang up on those that it called and that are not named any more.
func (w *swarm) keep(p int32, named []netip.AddrPort) {
	var surplus []int32
	kept := 0
	for s := range int32(maxLinks) {
		h := p*maxLinks + s
		switch l := &w.links[h]; {
		case l.peer < 0:
		case slices.Contains(named, address(l.peer)):
			kept++
		case l.mine && w.nodes[l.peer].mode != complete:
			surplus = append(surplus, h)
		}
	}
	if kept < sufficient {
		return
	}
	for _, h := range surplus {
		w.disconnect(h)
	}
}

// askLater has a node ask again after a time, more or less by a quarter, as agents do.
func (w *swarm) askLater(p int32, after time.Duration) {
	d := int64(after)
	w.post(event{at: w.now + d*3/4 + rand64(w.random, d/2+1), kind: evAsk, a: p})
}

// follow has a node call whom the scenario's graph names, and every controller.
func (w *swarm) follow(p int32) {
	for _, peer := range w.graph(int(p)) {
		w.call(p, int32(peer))
	}
	w.callControllers(p)
	w.askLater(p, w.Net.Ask)
}

// tell lets the controllers know what a node has.
func (w *swarm) tell(p int32) {
	n := &w.nodes[p]
	holding := handout.HoldsSome
	if n.mode == complete {
		holding = handout.HoldsAll
	}
	if !n.known {
		w.reported++
	}
	if !n.known || n.holding != holding {
		n.known, n.holding, w.dirty = true, holding, true
	}
}

// draw makes the controllers' table of members anew.
func (w *swarm) draw() {
	w.members = w.members[:0]
	for i := range w.nodes {
		if n := &w.nodes[i]; n.known {
			w.members = append(w.members, handout.Member{Name: w.names[i], Rack: w.racks[n.rack], Addr: address(int32(i)),
				Holding: n.holding, Alive: !n.lost})
		}
	}
	w.table, w.dated, w.dirty = handout.New(w.members, w.Seed), w.now, false
}

// call has p connect to q, if it has room and has not done so.
func (w *swarm) call(p, q int32) {
	if p == q || w.nodes[p].degree >= maxLinks || w.linked(p, q) {
		return
	}
	w.post(event{at: w.now + callTrip*w.delay, kind: evConnect, a: p, b: q})
}

func (w *swarm) linked(p, q int32) bool {
	for _, l := range w.links[p*maxLinks : (p+1)*maxLinks] {
		if l.peer == q {
			return true
		}
	}
	return false
}

// connect ends a call: it stands, unless one side cannot or need not.
func (w *swarm) connect(p, q int32) {
	a, b := &w.nodes[p], &w.nodes[q]
	if a.mode != fetching || b.mode != fetching && b.mode != complete || a.degree >= maxLinks || b.degree >= maxLinks || w.linked(p, q) {
		return
	}
	h, back := w.freeSlot(p), w.freeSlot(q)
	for _, half := range [][3]int32{{h, q, back}, {back, p, h}} {
		l := &w.links[half[0]]
		l.peer, l.back, l.state, l.mine = half[1], uint8(half[2]%maxLinks), idle, half[0] == h
	}
	a.degree++
	b.degree++
	w.count(p, q, 1)
	w.count(q, p, 1)
	w.wake(h)
	w.wake(back)
	w.serve(p)
	w.serve(q)
}

// freeSlot returns a half-edge of n that is free. There must be one.
func (w *swarm) freeSlot(n int32) int32 {
	h := n * maxLinks
	for w.links[h].peer >= 0 {
		h++
	}
	return h
}

// disconnect ends the connection of half-edge h; what is on its way is lost.
func (w *swarm) disconnect(h int32) {
	p, q := h/maxLinks, w.links[h].peer
	back := q*maxLinks + int32(w.links[h].back)
	was := [2]link{w.links[h], w.links[back]}
	for i, half := range [2]int32{h, back} {
		w.links[half] = link{peer: -1, gen: was[i].gen + 1}
		w.nodes[half/maxLinks].degree--
		w.forget(half)
	}
	w.count(p, q, ^uint8(0))
	w.count(q, p, ^uint8(0))
	for _, l := range was {
		if l.state == busy {
			_, length := w.part(l.piece, l.part)
			w.tally.dropped += length
			w.release(l.peer, l.piece, l.part)
		}
	}
}

// forget takes a half-edge out of its sender's ring.
func (w *swarm) forget(h int32) {
	n := &w.nodes[h/maxLinks]
	kept := uint8(0)
	for i := range n.ringLen {
		if slot := n.ring[(n.ringHead+i)%maxLinks]; int32(slot) != h%maxLinks {
			n.ring[(n.ringHead+kept)%maxLinks] = slot
			kept++
		}
	}
	n.ringLen = kept
}

// hangUp ends all connections of a node.
func (w *swarm) hangUp(n int32) {
	for s := range int32(maxLinks) {
		if h := n*maxLinks + s; w.links[h].peer >= 0 {
			w.disconnect(h)
		}
	}
	for _, f := range w.nodes[n].feeds {
		w.closeFeed(f)
	}
	w.nodes[n].mode = gone
}

// fail brings a failure about.
func (w *swarm) fail(f Failure) {
	if f.Kind == ControllerDies {
		for range f.Count {
			w.killController()
		}
		return
	}
	var there []int32
	for i := range w.nodes {
		if m := w.nodes[i].mode; m == fetching || m == complete {
			there = append(there, int32(i))
		}
	}
	w.random.Shuffle(len(there), func(i, j int) { there[i], there[j] = there[j], there[i] })
	for _, n := range there[:min(f.Count, len(there))] {
		w.strike(n, f.Kind)
	}
}

// strike makes a node fail.
func (w *swarm) strike(n int32, kind Fault) {
	if w.nodes[n].mode == fetching {
		w.tally.failed++
		w.tally.unfinished += int64(w.pieces) - int64(w.nodes[n].haves)
	}
	lag := int64(w.Net.Lag)
	switch kind {
	case Dies:
		w.nodes[n].mode = gone
		w.hangUp(n)
		lag = w.delay
	default:
		w.nodes[n].mode = silent
		w.stuck(n)
		w.post(event{at: w.now + lag, kind: evHangUp, a: n})
	}
	w.post(event{at: w.now + lag, kind: evNotice, a: n})
}

// notice lets the controllers know that a node is gone.
func (w *swarm) notice(n int32) {
	w.nodes[n].lost, w.dirty = true, true
}
