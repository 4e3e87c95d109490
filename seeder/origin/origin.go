package origin

import (
	"errors"
	"fmt"
	"time"
)

// A Peer is a connection, numbered by the caller, who never uses a number twice with one Origin.
type Peer uint32

// A Block is a part of a piece, as a peer asks for it.
type Block struct {
	Piece  int
	Begin  int64 // bytes into the piece
	Length int64 // bytes, at most MaxBlock
}

// A Kind says what an Action is.
type Kind uint8

// What an Origin may want done.
const (
	Reveal Kind = iota + 1 // announce Block.Piece to the peer (HAVE)
	Send                   // queue Block for the peer; call Sent when its last byte has left
	Reject                 // refuse Block (BEP 6), and take it out of the queue if it is there: after Withdraw it may be
	Close                  // hang up, for the reason Why; call Leave afterwards
)

// String names k as the log does.
func (k Kind) String() string {
	switch k {
	case Reveal:
		return "reveal"
	case Send:
		return "send"
	case Reject:
		return "reject"
	case Close:
		return "close"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// An Action is something that the Origin wants done.
type Action struct {
	Kind  Kind
	Peer  Peer
	Block Block  // only its Piece for Reveal
	Why   string // for Close
}

// The limits of what peers may do.
const (
	MaxBlock  = 128 << 10 // bytes; peers of ours ask for 64 KiB at a time, others for 16
	MaxQueued = 512       // blocks that a peer may have asked for and not been sent; announce it as "reqq"
	MaxPieces = 1 << 20   // of a blob: a bit of memory each, for every peer
)

// Config describes the blob of an Origin, and how it is handed out.
type Config struct {
	Pieces      int           // at most MaxPieces
	PieceLength int64         // bytes, of all but the last piece
	Size        int64         // bytes, of the blob
	Window      int64         // bytes that may be revealed to a peer and unfinished; 0 is 1 MiB, or two pieces if these are more
	Starvation  time.Duration // least time without progress that counts as starving; 0 is 10 s
	Seed        uint64        // decides which rack is first; controllers with different ones begin with different racks
}

const (
	defaultWindow     = 1 << 20
	defaultStarvation = 10 * time.Second
)

func (c *Config) check() error {
	switch {
	case c.Pieces < 1 || c.Pieces > MaxPieces:
		return fmt.Errorf("origin: %d pieces, must be 1 to %d", c.Pieces, MaxPieces)
	case c.PieceLength < 1 || c.Size < 1:
		return fmt.Errorf("origin: pieces of %d bytes, %d in all: both must be positive", c.PieceLength, c.Size)
	case (c.Size-1)/c.PieceLength != int64(c.Pieces)-1:
		return fmt.Errorf("origin: %d bytes in pieces of %d are not %d pieces", c.Size, c.PieceLength, c.Pieces)
	case c.Window < 0 || c.Starvation < 0:
		return errors.New("origin: negative window or starvation time")
	}
	if c.Window == 0 {
		c.Window = max(defaultWindow, 2*min(c.PieceLength, c.Size))
	}
	if c.Starvation == 0 {
		c.Starvation = defaultStarvation
	}
	return nil
}

// An Origin decides what a super-seeder of one blob shows and sends to whom. It does no I/O, knows no clock, and is not
// safe for concurrent use: its caller tells it what happened, then asks Do what is to be done. Every event carries the
// time since some fixed start; an earlier time than the latest counts as the latest. Events of peers that have not joined
// or have left are ignored. A method's error is a violation by the peer: the caller hangs up, and calls Leave.
type Origin struct {
	conf Config
	now  time.Duration

	pieces []piece
	held   int  // pieces with a copy
	spread int  // pieces with two or more
	unsent int  // pieces never sent whole
	share  int  // ours are those whose index modulo of is share
	of     int  //
	fresh  bits // ours, without a copy and not on their way: to be shown at once
	every  bits
	busy   bits // on their way to somebody, or withdrawn
	letGo  bits // given up by somebody they were shown to, and not seen since
	spare  bits // may be shown once more, to anybody
	relief bits // may be shown once more, to peers that starve

	peers  map[Peer]*peer
	order  []*peer // all peers, in an order that depends on nothing but the events
	seeds  int
	struck int
	hungry int
	window int // pieces
	lineup lineup
	serial uint64 // counts joins and reveals

	spreads  durations // from showing a piece to its second copy
	finishes durations // from showing a piece to its first
	newcomer time.Duration
	latest   time.Duration // when a piece was last shown for the first time
	swept    time.Duration

	line       []*peer // who waits for a delivery, the next one first
	deliveries []*delivery

	dirty []*peer // whose room or needs changed since the last Do
	news  bool    // pieces may be shown that could not be at the last Do
	out   []Action

	sent   int64         // bytes
	busyAt time.Duration // when a block was last sent
	queued int64         // bytes asked for and not sent
	raised int
}

// New returns an Origin without peers, alone, that has all pieces.
func New(c Config) (*Origin, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	o := &Origin{conf: c, of: 1, unsent: c.Pieces, peers: map[Peer]*peer{}, pieces: make([]piece, c.Pieces)}
	for _, b := range []*bits{&o.fresh, &o.every, &o.busy, &o.letGo, &o.spare, &o.relief} {
		*b = newBits(c.Pieces)
	}
	for i := range o.pieces {
		o.pieces[i].shown = never
		o.fresh.set(i)
		o.every.set(i)
	}
	o.lineup = newLineup(c.Seed)
	o.regauge()
	return o, nil
}

// advance takes note of the time.
func (o *Origin) advance(now time.Duration) {
	o.now = max(o.now, now)
}

// size is the number of bytes of a piece.
func (o *Origin) size(i int) int64 {
	return min(o.conf.PieceLength, o.conf.Size-int64(i)*o.conf.PieceLength)
}

// Do appends to buf what is to be done since the last call, in the order in which it is to be done, and returns it.
// Nothing is revealed before Do is called: what was told in one go is dealt out together.
func (o *Origin) Do(buf []Action) []Action {
	o.deal()
	o.deliver()
	for _, a := range o.out {
		if p := o.peers[a.Peer]; p != nil && (!p.closing || a.Kind == Close) {
			buf = append(buf, a)
		}
	}
	clear(o.out)
	o.out = o.out[:0]
	return buf
}

// do adds an action for the next Do.
func (o *Origin) do(k Kind, p *peer, b Block) {
	o.out = append(o.out, Action{Kind: k, Peer: p.id, Block: b})
}

// Stats is a moment of an Origin.
type Stats struct {
	Peers    int   // connected
	Seeds    int   // of these, those that have everything
	Suspects int   // of these, those that let go of what they were shown
	Revealed int   // pieces shown to a peer that has not finished them; one shown to two counts twice
	Copies   []int // Copies[k] pieces are held by k peers; the last element counts those with more, too
	Unsent   int   // pieces that were never sent whole to one peer
	Sent     int64 // bytes
	Raised   int   // pieces shown once more, because they made no progress
	Done     bool  // no connected peer lacks anything
}

// copiesKept is the length of Stats.Copies.
const copiesKept = 10

// Stats describes the Origin now. It looks at every piece and every peer.
func (o *Origin) Stats() Stats {
	s := Stats{Peers: len(o.order), Seeds: o.seeds, Suspects: o.struck, Copies: make([]int, copiesKept), Unsent: o.unsent,
		Sent: o.sent, Raised: o.raised, Done: o.seeds == len(o.order)}
	for i := range o.pieces {
		s.Copies[min(int(o.pieces[i].copies), copiesKept-1)]++
	}
	for _, p := range o.order {
		s.Revealed += len(p.pending)
	}
	return s
}
