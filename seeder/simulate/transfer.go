package simulate

// wake puts a half-edge into its sender's ring. The caller serves the sender afterwards.
func (w *swarm) wake(h int32) {
	l := &w.links[h]
	if l.peer < 0 || l.state != idle {
		return
	}
	q := &w.nodes[h/maxLinks]
	l.state = ready
	q.ring[(q.ringHead+q.ringLen)%maxLinks] = uint8(h % maxLinks)
	q.ringLen++
}

// serve gives the uplink of q, if it is free, to the first peer in its ring that wants something.
func (w *swarm) serve(q int32) {
	n := &w.nodes[q]
	if n.mode != fetching && n.mode != complete {
		return
	}
	for !n.sending && n.ringLen > 0 {
		h := q*maxLinks + int32(n.ring[n.ringHead])
		n.ringHead = (n.ringHead + 1) % maxLinks
		n.ringLen--
		l := &w.links[h]
		l.state = idle
		if w.nodes[l.peer].mode != fetching {
			continue
		}
		if piece, part, ok := w.choose(l.peer, q); ok {
			w.send(q, h, piece, part)
		}
	}
}

// send starts a fragment on its way from q.
func (w *swarm) send(q, h, piece int32, part uint8) {
	l := &w.links[h]
	p := l.peer
	_, length := w.part(piece, part)
	left := max(w.up[q].take(w.now, length), w.processor[q].take(w.now, length))
	ends := max(left, w.down[p].take(w.now, length), w.processor[p].take(w.now, length))
	if from, to := w.nodes[q].rack, w.nodes[p].rack; from != to {
		w.tally.crossed += length
		ends = max(ends, w.rackUp[from].take(w.now, length), w.rackDown[to].take(w.now, length))
	}
	l.state, l.piece, l.part, l.ends = busy, piece, part, ends
	w.nodes[q].sending = true
	w.tally.sent += length
	if left == ends {
		w.post(event{at: ends, kind: evDone, a: h, b: 1, gen: l.gen})
		return
	}
	w.post(event{at: left, kind: evFree, a: q})
	w.post(event{at: ends, kind: evDone, a: h, gen: l.gen})
}

// done ends the way of the fragment on half-edge h.
func (w *swarm) done(e event) {
	h := e.a
	q, l := h/maxLinks, &w.links[h]
	if e.b == 1 {
		w.nodes[q].sending = false
	}
	if l.gen == e.gen && l.state == busy && w.alive(q) && w.alive(l.peer) {
		_, length := w.part(l.piece, l.part)
		l.state = idle
		w.receive(l.peer, l.piece, l.part, length, &w.tally.fromPeers)
		w.wake(h)
	}
	w.serve(q)
}

func (w *swarm) alive(n int32) bool {
	m := w.nodes[n].mode
	return m == fetching || m == complete
}

// receive gives node p a fragment, whose bytes are counted in from if they are of use.
func (w *swarm) receive(p, piece int32, part uint8, length int64, from *int64) {
	n := &w.nodes[p]
	if n.first < 0 {
		n.first = w.now + w.delay
	}
	for i := range n.partials {
		t := &n.partials[i]
		if t.piece != piece {
			continue
		}
		if t.got&(1<<part) != 0 {
			break
		}
		*from += length
		t.got |= 1 << part
		if t.got == w.parts(piece) {
			last := len(n.partials) - 1
			n.partials[i] = n.partials[last]
			n.partials = n.partials[:last]
			verify := int64(float64(w.length(piece)) / w.Net.Verify * 1e9)
			w.post(event{at: w.now + 3*w.delay + verify, kind: evHave, a: p, b: piece})
		}
		if n.wants == 0 && n.mode == fetching {
			w.nudgeLater(p)
		}
		return
	}
	w.tally.twice += length
}

// release takes back that p asked for a fragment: whoever should have sent it will not.
func (w *swarm) release(p, piece int32, part uint8) {
	n := &w.nodes[p]
	if n.mode != fetching {
		return
	}
	bit := uint8(1) << part
	for i := range n.partials {
		t := &n.partials[i]
		if t.piece != piece || t.got&bit != 0 {
			continue
		}
		if t.twice&bit != 0 {
			t.twice &^= bit
			return
		}
		t.taken &^= bit
		w.setWant(p, piece, true)
		w.askAll(p, piece)
		w.askAgain(p, piece)
		return
	}
}

// askAll has every neighbour that has piece send to p.
func (w *swarm) askAll(p, piece int32) {
	for s := range int32(maxLinks) {
		if l := w.links[p*maxLinks+s]; l.peer >= 0 && w.has(l.peer, piece) {
			w.wake(l.peer*maxLinks + int32(l.back))
			w.serve(l.peer)
		}
	}
}

// nudgeLater looks after p's last fragments soon, since their senders may be slow.
func (w *swarm) nudgeLater(p int32) {
	if n := &w.nodes[p]; !n.nudged {
		n.nudged = true
		w.post(event{at: w.now + 200*w.delay, kind: evNudge, a: p})
	}
}

func (w *swarm) nudge(p int32) {
	n := &w.nodes[p]
	n.nudged = false
	if n.mode != fetching || n.wants > 0 {
		return
	}
	for i := 0; i < len(n.partials); i++ { // which askAll does not change: it only asks twice
		w.askAll(p, n.partials[i].piece)
	}
	w.nudgeLater(p)
}

// announce ends the check of a piece: p has it, its peers know, and those that want it have asked for it.
func (w *swarm) announce(p, piece int32) {
	n := &w.nodes[p]
	if n.mode != fetching {
		return
	}
	w.have[int(p)*w.words+int(piece>>6)] |= 1 << (piece & 63)
	n.haves++
	n.progressed = w.now
	w.tally.pieces++
	for s := range int32(maxLinks) {
		l := &w.links[p*maxLinks+s]
		if l.peer < 0 || w.nodes[l.peer].mode != fetching {
			continue
		}
		w.avail[int(l.peer)*w.pieces+int(piece)]++
		if l.state == idle && w.wanted(l.peer, piece) {
			w.wake(p*maxLinks + s)
		}
	}
	w.tellControllers(p, piece)
	if int(n.haves) == w.pieces {
		w.finish(p)
	}
	w.serve(p)
}

// finish makes p complete. Connections to others that are complete end.
func (w *swarm) finish(p int32) {
	n := &w.nodes[p]
	n.mode = complete
	n.completed = w.now - 2*w.delay // announcing took those
	n.partials = nil
	w.tally.complete++
	w.tell(p)
	for s := range int32(maxLinks) {
		if l := w.links[p*maxLinks+s]; l.peer >= 0 && w.nodes[l.peer].mode == complete {
			w.disconnect(p*maxLinks + s)
		}
	}
}

// stuck makes all fragments to and from n last forever.
func (w *swarm) stuck(n int32) {
	for s := range int32(maxLinks) {
		l := &w.links[n*maxLinks+s]
		if l.peer < 0 {
			continue
		}
		l.ends = never
		w.links[l.peer*maxLinks+int32(l.back)].ends = never
	}
}
