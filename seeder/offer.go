package seeder

import (
	"sync"
	"time"

	"github.com/samara-hpc/samara/seeder/origin"
)

// An offer is one blob that a Server gives away: the sockets around an origin.Origin, which decides what is sent to whom.
type offer struct {
	server  *Server
	hash    Hash
	info    Info
	source  *source
	lane    lane
	links   map[origin.Peer]*peerlink
	serving sync.WaitGroup // links

	mu      sync.Mutex // never held while anything waits
	origin  *origin.Origin
	last    origin.Peer
	actions []origin.Action
	tick    *time.Timer
	closed  bool
	sent    int64 // bytes
	copied  int64 // bytes
	rate    meter
	logged  bool // that a piece is damaged
}

func newOffer(s *Server, h Hash, i Info, src *source) (*offer, error) {
	o := &offer{server: s, hash: h, info: i, source: src, links: map[origin.Peer]*peerlink{}}
	var err error
	if o.origin, err = origin.New(origin.Config{Pieces: i.Pieces(), PieceLength: i.PieceLength, Size: i.Size, Starvation: s.starving, Seed: s.offered}); err != nil {
		return nil, err
	}
	o.tick = time.AfterFunc(time.Hour, func() { o.change(o.origin.Tick) })
	o.tick.Stop()
	return o, nil
}

// change lets the origin know of something, and does what it then wants done. Once the offer has ended it does nothing.
func (o *offer) change(tell func(now time.Duration)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	tell(time.Since(o.server.began))
	o.act()
	if at, wanted := o.origin.Wake(); wanted {
		o.tick.Reset(max(0, at-time.Since(o.server.began)))
	} else {
		o.tick.Stop()
	}
}

// act does what the origin wants done. The caller holds o.mu.
func (o *offer) act() {
	o.actions = o.origin.Do(o.actions[:0])
	for _, a := range o.actions {
		if l := o.links[a.Peer]; l != nil {
			l.do(a)
		}
	}
}

// do does what the origin wants done for a peer. The caller holds offer.mu.
func (l *peerlink) do(a origin.Action) {
	switch a.Kind {
	case origin.Reveal:
		l.shown[a.Block.Piece/8] |= 1 << (a.Block.Piece % 8)
		l.tell(msgHave, uint32(a.Block.Piece))
	case origin.Send:
		l.queue(a.Block)
	case origin.Reject:
		l.unqueue(a.Block)
		l.reject(a.Block)
	case origin.Close:
		l.offer.server.logger.Debug("a peer is not needed any more", "peer", l.addr, "blob", l.offer.info.Digest.Short(), "why", a.Why)
		l.hangUp()
	}
}

// join takes a peer in, whose handshake has been read, and reports whether it did. A peer that is there already has lost
// its old connection, or would not have made another.
func (o *offer) join(l *peerlink) bool {
	joined := false
	o.change(func(now time.Duration) {
		for _, old := range o.links {
			if old.addr == l.addr && old.hello.id == l.hello.id {
				o.part(now, old)
				break
			}
		}
		if len(o.links) >= o.server.maxPeers {
			return
		}
		o.last++
		l.peer = o.last
		o.links[l.peer] = l
		o.serving.Add(1)
		o.origin.Join(now, l.peer, o.server.rackOf(l.addr))
		joined = true
	})
	return joined
}

// part lets a peer go. The caller holds o.mu.
func (o *offer) part(now time.Duration, l *peerlink) {
	if o.links[l.peer] == l {
		delete(o.links, l.peer)
		o.origin.Leave(now, l.peer)
	}
	l.hangUp()
}

// serve talks to a peer that has joined until its connection ends. It returns what the peer did wrong, if it did.
func (o *offer) serve(l *peerlink) error {
	defer o.serving.Done()
	err := l.serve()
	o.change(func(now time.Duration) { o.part(now, l) })
	return err
}

// left takes note of a block that has been sent.
func (o *offer) left(l *peerlink, b origin.Block) {
	o.change(func(now time.Duration) {
		if l.copies {
			o.copied += b.Length
		} else {
			o.sent += b.Length
		}
		o.rate.add(now, b.Length)
		if o.links[l.peer] == l {
			o.origin.Sent(now, l.peer, b)
		}
	})
}

// share makes this origin one of several.
func (o *offer) share(index, of int) {
	o.change(func(now time.Duration) { o.origin.Share(now, index, of) })
}

// damaged takes a piece back that is not what it should be, or that cannot be read, and says so once for all pieces. The
// protocol has no way to take back what a peer was shown, and one whose request is merely rejected may never ask for
// anything again: so those who were shown the piece are hung up on. They call again, and learn what there is.
func (o *offer) damaged(piece int, err error) {
	log := false
	o.change(func(now time.Duration) {
		o.origin.Withdraw(now, piece)
		for _, l := range o.links {
			if l.shown[piece/8]&(1<<(piece%8)) != 0 {
				o.part(now, l)
			}
		}
		log, o.logged = !o.logged, true
	})
	if log {
		o.server.logger.Error("a piece of a blob cannot be read and is not offered: other holders serve it; remove the blob and fetch or import it again",
			"blob", o.info.Digest.String(), "piece", piece, "err", err)
	}
}

// close ends all connections, and returns once the blob is no longer used.
func (o *offer) close() {
	o.mu.Lock()
	o.closed = true
	o.tick.Stop()
	for _, l := range o.links {
		l.hangUp()
	}
	o.mu.Unlock()
	o.serving.Wait()
}

// An OriginStats says how a Server gives one blob away.
type OriginStats struct {
	Size   int64 // of the blob, in bytes
	Peers  int   // connected now
	Sent   int64 // bytes of payload since it was offered, but for those copied
	Copied int64 // bytes of payload sent to those that ServerConfig.Copies names
	Rate   int64 // bytes per second lately, of both
	Unsent int   // pieces that were never sent whole, to anybody
}

func (o *offer) stats() OriginStats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return OriginStats{Size: o.info.Size, Peers: len(o.links), Sent: o.sent, Copied: o.copied,
		Rate: o.rate.perSecond(time.Since(o.server.began)), Unsent: o.origin.Stats().Unsent}
}
