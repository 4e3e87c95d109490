package origin

import (
	"slices"
	"time"
)

// checkReveal holds an origin to its rules, by the world's own books.
func (s *server) checkReveal(l *link, i int) {
	w, r := s.w, s.w.conf.Starvation
	if l.said[i] {
		w.failf("node %d is shown piece %d, which it has", l.n.name, i)
	}
	wanting, announced := 0, false
	for _, other := range s.order {
		wanting += count(len(other.said) < w.conf.Pieces)
		announced = announced || other.said[i]
		if _, open := other.open[i]; open && other != l && w.now-other.shown[i] < r {
			w.failf("piece %d is shown to node %d %v after node %d", i, l.n.name, w.now-other.shown[i], other.n.name)
		}
	}
	if announced && w.now-s.progress[i] < r && !l.alone {
		w.failf("piece %d is shown again %v after it made progress", i, w.now-s.progress[i])
	}
	window := max(1, int(min(w.conf.Window, w.conf.Size/(8*int64(wanting)))/w.conf.PieceLength))
	pending, unsent := 1, 1
	for j, left := range l.open {
		if w.now-l.shown[j] < r && j != i {
			pending++
			unsent += count(left > 0)
		}
	}
	if unsent > window || pending > window+1 {
		w.failf("node %d is shown %d pieces, %d of them unsent, with a window of %d", l.n.name, pending, unsent, window)
	}
}

// despair notes who gained nothing but from the origin for so long that everything is allowed it.
func (s *server) despair() {
	for _, l := range s.order {
		l.alone = l.alone || s.w.now-l.fed >= 4*s.w.conf.Starvation
	}
}

// hear has a node see something, once it is not frozen.
func (n *node) hear(f func()) {
	if n.frozen {
		n.inbox = append(n.inbox, f)
		return
	}
	f()
}

// see is a node's answer to being shown a piece.
func (l *link) see(i int) {
	if l.dead {
		return
	}
	switch l.n.character {
	case withholder, braggart:
	case pretender:
		l.say(i)
	default:
		if !l.n.have[i] {
			l.ask(i)
		}
	}
}

// ask requests all blocks of a piece.
func (l *link) ask(i int) {
	size := l.s.o.size(i)
	const length = 16 << 10
	for at := int64(0); at < size; at += length {
		b := Block{i, at, min(length, size-at)}
		l.s.both(func(o *Origin) error { return o.Request(l.s.w.now, l.id, b) })
	}
}

// say announces a piece to an origin.
func (l *link) say(i int) {
	if l.dead || l.said[i] {
		return
	}
	w := l.s.w
	l.said[i] = true
	if _, ours := l.open[i]; !ours {
		l.fed, l.alone = w.now, false
	}
	delete(l.open, i)
	l.s.progress[i] = w.now
	l.s.both(func(o *Origin) error { return o.Have(w.now, l.id, i) })
}

// complete gives a node a piece.
func (w *world) complete(n *node, i int) {
	delete(n.got, i)
	n.have[i] = true
	if n.character == leech {
		return
	}
	for _, s := range w.origins {
		for _, l := range slices.Clone(s.order) {
			if l.n == n {
				l.say(i)
			}
		}
	}
}

// transmit sends some blocks to those who take them, in turns.
func (s *server) transmit() {
	for budget := s.w.rate; budget > 0; {
		before := budget
		for _, l := range slices.Clone(s.order) {
			if budget == 0 || l.dead || l.n.frozen || len(l.queue) == 0 {
				continue
			}
			budget--
			b := l.queue[0]
			l.queue = l.queue[1:]
			s.deliver(l, b)
		}
		s.obey()
		if budget == before || s.w.err != nil {
			return
		}
	}
}

func (s *server) deliver(l *link, b Block) {
	w, n := s.w, l.n
	s.both(func(o *Origin) error { o.Sent(w.now, l.id, b); return nil })
	s.progress[b.Piece] = w.now
	if _, ok := l.open[b.Piece]; ok {
		l.open[b.Piece] -= b.Length
	}
	if n.have[b.Piece] {
		return
	}
	got := n.got[b.Piece]
	if got == nil {
		got = map[Block]bool{}
		n.got[b.Piece] = got
	}
	got[b] = true
	total := int64(0)
	for b := range got {
		total += b.Length
	}
	if total == s.o.size(b.Piece) {
		s.sentWhole[b.Piece]++
		w.complete(n, b.Piece)
	}
}

// exchange has every node fetch a few pieces from others, in any order.
func (w *world) exchange(each int) {
	for _, n := range w.nodes {
		if !n.here || n.frozen || n.isolated || n.character == withholder || n.character == pretender || n.character == braggart {
			continue
		}
		for range each {
			from := w.nodes[w.rnd.IntN(len(w.nodes))]
			if from == n || !from.here || from.frozen || from.isolated || from.character != honest {
				continue
			}
			start := w.rnd.IntN(w.conf.Pieces)
			for k := range w.conf.Pieces {
				if i := (start + k) % w.conf.Pieces; from.have[i] && !n.have[i] {
					w.complete(n, i)
					break
				}
			}
		}
	}
	for _, s := range w.origins {
		s.obey()
	}
}

// thaw has a frozen node go on where it stopped.
func (w *world) thaw(n *node) {
	n.frozen = false
	inbox := n.inbox
	n.inbox = nil
	for _, f := range inbox {
		f()
	}
	for _, s := range w.origins {
		s.obey()
	}
}

// pass lets one step of time go by.
func (w *world) pass(each int) {
	w.now += w.step
	for _, s := range w.origins {
		if !s.live {
			continue
		}
		s.despair()
		if at, ok := s.o.Wake(); ok && at <= w.now {
			s.both(func(o *Origin) error { o.Tick(w.now); return nil })
		}
		s.obey()
		s.transmit()
	}
	w.exchange(each)
}

// settled says whether everybody who is honest and here has everything.
func (w *world) settled() bool {
	for _, n := range w.nodes {
		if n.here && !n.frozen && n.character == honest && len(n.have) < w.conf.Pieces {
			return false
		}
	}
	return true
}

// settle lets time pass until the swarm has settled, and fails if that takes longer than limit.
func (w *world) settle(each int, limit time.Duration) {
	for end := w.now + limit; !w.settled() && w.err == nil; w.pass(each) {
		if w.now > end {
			for _, n := range w.nodes {
				if n.here && n.character == honest && len(n.have) < w.conf.Pieces {
					w.failf("node %d has %d of %d pieces still", n.name, len(n.have), w.conf.Pieces)
				}
			}
			return
		}
	}
}

// sent is how many bytes left all origins.
func (w *world) sent() int64 {
	n := int64(0)
	for _, s := range w.origins {
		n += s.o.Stats().Sent
	}
	return n
}
