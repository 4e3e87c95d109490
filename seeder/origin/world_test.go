package origin

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"
)

// A world is a small swarm in virtual time: nodes that exchange pieces, and origins with a server's queue around each.
// It keeps its own books about what origins do, and fails with the first thing that they must not do.
type world struct {
	conf    Config
	rnd     *rand.Rand
	now     time.Duration
	step    time.Duration
	rate    int // blocks that an origin sends per step
	nodes   []*node
	origins []*server
	next    Peer
	err     error
}

// A character is how a node behaves.
type character int

const (
	honest     character = iota
	withholder           // asks for nothing that it is shown
	leech                // fetches and never says so, nor shares
	pretender            // says it has what it is shown, without fetching it
	braggart             // says it has everything, and has nothing
	hoarder              // fetches and says so, and does not share
)

type node struct {
	name      int
	rack      string
	character character
	frozen    bool
	isolated  bool // has no neighbours
	here      bool
	have      map[int]bool
	got       map[int]map[Block]bool // blocks of pieces in progress
	inbox     []func()               // what it did not see while it was frozen
}

// A server is an origin, its twin that is told the same, and the queues and books around them.
type server struct {
	w         *world
	o, twin   *Origin
	live      bool
	links     map[Peer]*link
	order     []*link
	progress  []time.Duration // of each piece, as the rule defines it
	sentWhole []int           // by piece, times
}

type link struct {
	s     *server
	n     *node
	id    Peer
	said  map[int]bool
	shown map[int]time.Duration
	open  map[int]int64 // bytes not sent yet of pieces that were shown and not finished
	queue []Block
	fed   time.Duration // when it last gained a piece that it was not shown
	dead  bool
	alone bool // it gained nothing but from this origin for four times R
}

func newWorld(c Config, origins int, seed uint64) *world {
	w := &world{conf: c, rnd: rand.New(rand.NewPCG(seed, 1)), step: c.Starvation / 20, rate: 64}
	for range origins {
		s := &server{w: w, live: true, links: map[Peer]*link{}, progress: make([]time.Duration, c.Pieces), sentWhole: make([]int, c.Pieces)}
		s.o, _ = New(c)
		s.twin, _ = New(c)
		w.origins = append(w.origins, s)
	}
	w.share()
	return w
}

func (w *world) failf(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %v: %w", w.now, fmt.Errorf(format, args...))
	}
}

// both does the same to an origin and its twin.
func (s *server) both(f func(o *Origin) error) {
	if err := f(s.o); err != nil {
		s.w.failf("refused: %w", err)
	}
	_ = f(s.twin)
}

// share tells the live origins of each other.
func (w *world) share() {
	of, index := 0, 0
	for _, s := range w.origins {
		of += count(s.live)
	}
	for _, s := range w.origins {
		if s.live {
			s.both(func(o *Origin) error { o.Share(w.now, index, of); return nil })
			index++
		}
	}
}

// add brings a new node into the swarm.
func (w *world) add(c character) *node {
	n := &node{name: len(w.nodes), rack: fmt.Sprint("r", w.rnd.IntN(3)), character: c, have: map[int]bool{}, got: map[int]map[Block]bool{}}
	w.nodes = append(w.nodes, n)
	w.arrive(n)
	return n
}

// arrive connects a node to all live origins.
func (w *world) arrive(n *node) {
	n.here = true
	for _, s := range w.origins {
		if s.live {
			s.connect(n)
		}
	}
}

func (s *server) connect(n *node) {
	w := s.w
	w.next++
	l := &link{s: s, n: n, id: w.next, said: map[int]bool{}, shown: map[int]time.Duration{}, open: map[int]int64{}, fed: w.now}
	s.links[l.id] = l
	s.order = append(s.order, l)
	s.both(func(o *Origin) error { o.Join(w.now, l.id, n.rack); return nil })
	switch {
	case n.character == braggart:
		for i := range w.conf.Pieces {
			l.said[i] = true
		}
		s.both(func(o *Origin) error { o.HaveAll(w.now, l.id); return nil })
	case len(n.have) > 0 && n.character != leech:
		field := make([]byte, (w.conf.Pieces+7)/8)
		for i := range n.have {
			field[i/8] |= 0x80 >> (i % 8)
			l.said[i] = true
		}
		s.both(func(o *Origin) error { return o.Bitfield(w.now, l.id, field) })
	case w.rnd.IntN(2) == 0:
		s.both(func(o *Origin) error { o.HaveNone(w.now, l.id); return nil })
	}
	s.obey()
}

// depart takes a node out of the swarm.
func (w *world) depart(n *node) {
	n.here, n.frozen, n.inbox, n.got = false, false, nil, map[int]map[Block]bool{}
	for _, s := range w.origins {
		for _, l := range append([]*link(nil), s.order...) {
			if l.n == n {
				s.disconnect(l)
			}
		}
	}
}

func (s *server) disconnect(l *link) {
	l.dead = true
	delete(s.links, l.id)
	for k := range s.order {
		if s.order[k] == l {
			s.order = append(s.order[:k], s.order[k+1:]...)
			break
		}
	}
	s.both(func(o *Origin) error { o.Leave(s.w.now, l.id); return nil })
	s.obey()
}

// kill ends an origin; nodes keep what they have.
func (w *world) kill(s *server) {
	for len(s.order) > 0 {
		s.disconnect(s.order[0])
	}
	s.live = false
	w.share()
}

// obey carries out what an origin wants, and checks it.
func (s *server) obey() {
	for s.w.err == nil {
		did := s.o.Do(nil)
		if twin := s.twin.Do(nil); !reflect.DeepEqual(did, twin) {
			s.w.failf("the same events led to %v and to %v", did, twin)
		}
		if len(did) == 0 {
			break
		}
		for _, a := range did {
			if s.links[a.Peer] == nil {
				s.w.failf("%v for peer %d, which is not there", a.Kind, a.Peer)
			}
		}
		for _, a := range did {
			if l := s.links[a.Peer]; l != nil { // it may have gone meanwhile
				s.act(l, a)
			}
		}
	}
	if err := recount(s.o); err != nil && s.w.err == nil {
		s.w.failf("books: %w", err)
	}
}

func (s *server) act(l *link, a Action) {
	i := a.Block.Piece
	switch a.Kind {
	case Reveal:
		s.checkReveal(l, i)
		l.shown[i] = s.w.now
		l.open[i] = s.o.size(i)
		l.n.hear(func() { l.see(i) })
	case Send:
		if _, ok := l.shown[i]; !ok {
			s.w.failf("piece %d is sent to node %d, which was not shown it", i, l.n.name)
		}
		l.queue = append(l.queue, a.Block)
	case Reject:
		for k := range l.queue {
			if l.queue[k] == a.Block {
				l.queue = append(l.queue[:k], l.queue[k+1:]...)
				break
			}
		}
	case Close:
		if len(l.said) < s.w.conf.Pieces {
			s.w.failf("node %d is hung up on: %s", l.n.name, a.Why)
		}
		s.disconnect(l)
	}
}
