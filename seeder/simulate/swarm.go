package simulate

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/samara-hpc/samara/seeder/handout"
	"github.com/samara-hpc/samara/seeder/origin"
)

// What the node's client does, as it is set up in package seeder and read in anacrolix/torrent v1.62.
const (
	maxLinks      = 24       // connections of a node
	sufficient    = 8        // of those that are named, before a node hangs up on others
	maxFragments  = 8        // bits of a mask
	fragmentUnit  = 64 << 10 // what a client asks for at once; a fragment is some of them, end to end
	fineParts     = 4        // fragments of a piece
	coarseParts   = 2        // the same in swarms of more than largeSwarm, which differ by less than a percent
	largeSwarm    = 1 << 20  // nodes x pieces
	longPiece     = 16 << 20
	longestPiece  = origin.MaxQueued * origin.MaxBlock // of which an origin holds all requests
	starvingAfter = 10 * time.Second
	secondAsk     = 600 * time.Millisecond // after the first, when controllers knew few
	stalledAfter  = 10 * time.Minute
)

// mode is what a node is up to.
type mode uint8

const (
	absent   mode = iota // not yet there
	fetching             // incomplete
	complete             // has everything, and sends
	silent               // frozen or without power; peers do not know
	gone                 // and they do
)

// A link is one direction of a connection: from the node in whose row it stands to peer. Node n's row is
// links[n*maxLinks:(n+1)*maxLinks]; an index into links is called a half-edge.
type link struct {
	peer  int32 // -1: free
	back  uint8 // slot of the other direction in the peer's row
	mine  bool  // the sender called
	state uint8
	part  uint8 // of piece, on its way while busy
	piece int32
	gen   uint16 // counts the connections that used this slot
	ends  int64  // when the fragment is at its end
}

// States of a link.
const (
	idle  uint8 = iota // the peer wants nothing that the sender has
	ready              // in the sender's ring
	busy               // a fragment is on its way
)

// A partial is a piece of which a node has asked for some fragments, as masks.
type partial struct {
	piece             int32
	taken, got, twice uint8 // asked for; received; asked for a second time
}

// A node is one member of the swarm. What is as long as the image has pieces stands in rows of swarm's arrays.
type node struct {
	class, rack int32
	mode        mode
	known       bool // to the controllers
	lost        bool // and known to be gone
	holding     handout.Holding
	sending     bool // its uplink is taken
	nudged      bool // an evNudge is due
	degree      uint8
	ringHead    uint8
	ringLen     uint8
	ring        [maxLinks]uint8 // slots that are ready, in the order in which they are served
	haves       int32
	wants       int32 // pieces with a fragment that is asked of nobody
	partials    []partial
	feeds       []int32 // to controllers
	arrived     int64
	first       int64 // when the first byte came; -1: not yet
	progressed  int64 // when the last piece came
	completed   int64
}

// A swarm is the state of a run.
type swarm struct {
	Scenario
	now    int64
	events queue
	random *rand.Rand

	ownPiece      int64 // the image's piece length; PieceLength is what is simulated
	pieces, words int
	partLength    int64
	block         int64 // what nodes ask a controller for at once
	delay         int64

	nodes     []node
	names     []string
	racks     []string
	links     []link
	have      []uint64 // rows of words
	want      []uint64 // rows of words: pieces with a fragment that is asked of nobody
	avail     []uint8  // rows of pieces: neighbours that have it
	up, down  []line
	processor []line
	rackUp    []line
	rackDown  []line

	controllers []controller
	feeds       []feed

	members  []handout.Member // of table
	table    *handout.Table
	dated    int64 // when table was made
	dirty    bool  // somebody has reported something else since
	reported int   // nodes that have ever reported

	tally tally
	err   error
}

// newSwarm lays out a checked and filled scenario.
func newSwarm(s Scenario) (*swarm, error) {
	w := &swarm{Scenario: s, random: rand.New(rand.NewPCG(s.Seed, 0x5a3a7a)), delay: int64(s.Net.Delay)}
	w.ownPiece = w.PieceLength
	for int64(w.Nodes)*((s.Size-1)/w.PieceLength+1) > int64(s.Budget) && w.PieceLength < s.Size {
		w.PieceLength *= 2
	}
	w.pieces = int((s.Size-1)/w.PieceLength + 1)
	w.words = (w.pieces + 63) / 64
	parts := int64(fineParts)
	if w.Nodes*w.pieces > largeSwarm {
		parts = coarseParts
	}
	w.partLength = (w.PieceLength + parts - 1) / parts
	w.partLength = min(w.PieceLength, (w.partLength+fragmentUnit-1)/fragmentUnit*fragmentUnit)
	w.block = fragmentUnit
	if w.PieceLength > longPiece {
		w.block = origin.MaxBlock // or an origin would hold too many requests to be for one peer
	}
	if w.PieceLength > longestPiece {
		return nil, fmt.Errorf("%w: %d bytes for %d nodes need simulated pieces of %d bytes, and %d is the most; simulate fewer nodes, or a smaller image",
			ErrScenario, s.Size, s.Nodes, w.PieceLength, longestPiece)
	}
	w.nodes = make([]node, s.Nodes)
	w.names = make([]string, s.Nodes)
	w.links = make([]link, s.Nodes*maxLinks)
	w.have = make([]uint64, s.Nodes*w.words)
	w.want = make([]uint64, s.Nodes*w.words)
	w.avail = make([]uint8, s.Nodes*w.pieces)
	for i := range w.links {
		w.links[i].peer = -1
	}
	racks := (s.Nodes + s.RackSize - 1) / s.RackSize
	for r := range racks {
		w.racks = append(w.racks, fmt.Sprintf("r%04d", r))
		w.rackUp = append(w.rackUp, newLine(s.RackUplink, s.Net.Overhead))
		w.rackDown = append(w.rackDown, newLine(s.RackUplink, s.Net.Overhead))
	}
	w.layNodes()
	return w, w.layControllers()
}

func (w *swarm) layNodes() {
	class := make([]int32, w.Nodes)
	shuffled := w.random.Perm(w.Nodes)
	for c, o := range w.Others {
		for _, n := range shuffled[:o.Count] {
			class[n] = int32(c + 1)
		}
		shuffled = shuffled[o.Count:]
	}
	for i := range w.nodes {
		c := w.class(class[i])
		w.names[i] = fmt.Sprintf("n%05d", i)
		n := &w.nodes[i]
		n.class, n.rack, n.first, n.wants = class[i], int32(i/w.RackSize), -1, int32(w.pieces)
		w.up = append(w.up, newLine(c.Up, w.Net.Overhead))
		w.down = append(w.down, newLine(c.Down, w.Net.Overhead))
		w.processor = append(w.processor, newLine(c.Processor, 0))
		for p := range w.pieces {
			w.want[i*w.words+p/64] |= 1 << (p % 64)
		}
	}
	i := 0
	for _, a := range w.Arrivals {
		for k := range a.Nodes {
			at := int64(a.At) + int64(float64(a.Over)*float64(k)/float64(a.Nodes))
			w.post(event{at: at, kind: evArrive, a: int32(i)})
			i++
		}
	}
	for f := range w.Failures {
		w.post(event{at: int64(w.Failures[f].At), kind: evFail, a: int32(f)})
	}
	w.post(event{at: int64(stalledAfter), kind: evWatch})
}

func (w *swarm) class(i int32) Class {
	if i == 0 {
		return w.Node
	}
	return w.Others[i-1]
}

func (w *swarm) post(e event) { w.events.push(e) }

// length returns the bytes of a piece.
func (w *swarm) length(piece int32) int64 {
	return min(w.PieceLength, w.Size-int64(piece)*w.PieceLength)
}

// part returns where a fragment of a piece begins and how long it is.
func (w *swarm) part(piece int32, part uint8) (begin, length int64) {
	begin = int64(part) * w.partLength
	return begin, min(w.partLength, w.length(piece)-begin)
}

// parts returns the mask of all fragments of a piece.
func (w *swarm) parts(piece int32) uint8 {
	return uint8(1<<((w.length(piece)-1)/w.partLength+1) - 1)
}

func (w *swarm) has(n, piece int32) bool {
	return w.have[int(n)*w.words+int(piece>>6)]>>(piece&63)&1 != 0
}

func (w *swarm) wanted(n, piece int32) bool {
	return w.want[int(n)*w.words+int(piece>>6)]>>(piece&63)&1 != 0
}

// setWant says whether node n has a fragment of piece to ask for.
func (w *swarm) setWant(n, piece int32, wanted bool) {
	row := &w.want[int(n)*w.words+int(piece>>6)]
	bit := uint64(1) << (piece & 63)
	switch {
	case wanted && *row&bit == 0:
		*row |= bit
		w.nodes[n].wants++
	case !wanted && *row&bit != 0:
		*row &^= bit
		w.nodes[n].wants--
	}
}

// count adds d to what node n knows of the copies of each piece that node of has.
func (w *swarm) count(n, of int32, d uint8) {
	row := w.avail[int(n)*w.pieces : (int(n)+1)*w.pieces]
	for i, word := range w.have[int(of)*w.words : (int(of)+1)*w.words] {
		for ; word != 0; word &= word - 1 {
			row[i*64+bits.TrailingZeros64(word)] += d
		}
	}
}

// address is the address by which the hand-out names node n.
func address(n int32) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 6881)
}

func nodeAt(a netip.AddrPort) int32 {
	b := a.Addr().As4()
	return int32(b[1])<<16 | int32(b[2])<<8 | int32(b[3])
}
