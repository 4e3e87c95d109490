package seeder

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/samara-hpc/samara/seeder/origin"
)

// How a link treats its peer.
const (
	readPatience = 2 * time.Minute  // peers send something at least that often (BEP 3)
	keepAlive    = 10 * time.Second // after which an idle link says something, so that TCP finds out who is dead
	maxControl   = 64 << 10         // bytes of short messages that a peer leaves unread, before it is given up
)

// A peerlink is a connection with a peer that may fetch. Its offer tells it what to send; one goroutine reads, and one
// writes.
type peerlink struct {
	offer  *offer
	peer   origin.Peer
	addr   netip.Addr
	copies bool      // it is another controller
	hello  handshake // the peer's
	conn   *net.TCPConn
	in     *messageReader
	out    *outlet
	shown  []byte        // a bit for each piece that it was ever shown; guarded by offer.mu
	gone   chan struct{} // closed once the connection ends
	hangUp func()
	news   chan struct{} // has one if there may be something to write

	mu      sync.Mutex // may be taken under offer.mu, never the other way round
	control []byte     // short messages, which go before blocks
	blocks  []origin.Block
}

// newPeerlink returns a link for a connection whose handshake has been read.
func newPeerlink(o *offer, conn *net.TCPConn, addr netip.Addr, hello handshake) (*peerlink, error) {
	out, err := newOutlet(conn, o.server.buffers)
	if err != nil {
		return nil, err
	}
	l := &peerlink{offer: o, addr: addr, copies: o.server.copies(addr), hello: hello, conn: conn, out: out, in: newMessageReader(conn, o.info.Pieces(), hello.fast),
		shown: make([]byte, (o.info.Pieces()+7)/8), gone: make(chan struct{}), news: make(chan struct{}, 1)}
	l.hangUp = sync.OnceFunc(func() {
		close(l.gone)
		_ = conn.Close()
	})
	l.control = handshake{extended: true, fast: true, hash: o.hash, id: o.server.id}.encode()
	if hello.fast {
		l.control = appendMessage(l.control, msgHaveNone) // and one that does not know it takes silence for that
	}
	if hello.extended {
		l.control = append(l.control, extendedHandshake(origin.MaxQueued, clientVersion)...)
	}
	l.control = appendMessage(l.control, msgUnchoke)
	return l, nil
}

// clientVersion is what other clients show of us.
const clientVersion = "Samara"

// serve talks to the peer until one of the two hangs up. It returns what the peer did wrong, if it did.
func (l *peerlink) serve() error {
	var writing sync.WaitGroup
	writing.Go(func() {
		defer l.hangUp()
		l.write()
	})
	err := l.read()
	l.hangUp()
	writing.Wait()
	return err
}

// read passes on what the peer says until the connection ends.
func (l *peerlink) read() error {
	for {
		if err := l.conn.SetReadDeadline(time.Now().Add(readPatience)); err != nil {
			return nil
		}
		var m message
		err := l.in.next(&m)
		if err == nil {
			err = l.offer.hear(l, &m)
		}
		switch {
		case errors.Is(err, errMalformed):
			return err
		case err != nil:
			return nil // the peer has hung up, or has been silent for too long
		}
	}
}

// hear takes note of a message, and of those that follow it without waiting.
func (o *offer) hear(l *peerlink, m *message) (err error) {
	o.change(func(now time.Duration) {
		for o.links[l.peer] == l {
			if err = o.take(now, l, m); err != nil || !l.in.ready() {
				return
			}
			if err = l.in.next(m); err != nil {
				return
			}
		}
	})
	return err
}

// take tells the origin of one message. The caller holds o.mu.
func (o *offer) take(now time.Duration, l *peerlink, m *message) error {
	block := origin.Block{Piece: int(m.index), Begin: int64(m.begin), Length: int64(m.length)}
	var err error
	switch m.kind {
	case msgBitfield: // which aria2 sends again once it has its first piece
		err = o.origin.Bitfield(now, l.peer, m.bits)
	case msgHaveAll:
		o.origin.HaveAll(now, l.peer)
	case msgHaveNone:
		o.origin.HaveNone(now, l.peer)
	case msgHave:
		err = o.origin.Have(now, l.peer, block.Piece)
	case msgRequest:
		err = o.origin.Request(now, l.peer, block)
	case msgCancel:
		o.act() // the request may have come just before
		o.origin.Cancel(now, l.peer, block, l.unqueue(block))
	}
	if err != nil {
		return malformed("%v", err)
	}
	return nil
}

// tell queues a short message.
func (l *peerlink) tell(kind messageKind, numbers ...uint32) {
	l.mu.Lock()
	l.control = appendMessage(l.control, kind, numbers...)
	deaf := len(l.control) > maxControl
	l.mu.Unlock()
	if deaf {
		l.hangUp()
	}
	signal(l.news)
}

// reject tells the peer that a block does not come, if it understands that.
func (l *peerlink) reject(b origin.Block) {
	if l.hello.fast {
		l.tell(msgReject, uint32(b.Piece), uint32(b.Begin), uint32(b.Length))
	}
}

// queue queues a block.
func (l *peerlink) queue(b origin.Block) {
	l.mu.Lock()
	l.blocks = append(l.blocks, b)
	l.mu.Unlock()
	signal(l.news)
}

// unqueue takes a block out of the queue, and reports whether it was there. What has begun to leave is not.
func (l *peerlink) unqueue(b origin.Block) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.Index(l.blocks, b)
	if at < 0 {
		return false
	}
	l.blocks = slices.Delete(l.blocks, at, at+1)
	return true
}

// nextControl takes out the short messages that wait.
func (l *peerlink) nextControl() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	control := l.control
	l.control = nil
	return control
}

// nextBlocks takes out the blocks of one turn.
func (l *peerlink) nextBlocks() (blocks []origin.Block, length int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.blocks {
		if length+b.Length > turnLength {
			break
		}
		length += b.Length
		blocks = append(blocks, b)
	}
	l.blocks = slices.Delete(l.blocks, 0, len(blocks))
	return blocks, length
}

// write writes what is queued until the connection ends.
func (l *peerlink) write() {
	idle := time.NewTimer(keepAlive)
	defer idle.Stop()
	for {
		blocks, length := l.nextBlocks()
		if len(blocks) == 0 {
			if !l.rest(nil, idle) {
				return
			}
			continue
		}
		turn := l.offer.server.turns.queue(&l.offer.lane, int(length), l.gone)
		if !l.check(blocks) || !l.rest(turn, idle) || !l.send(blocks) {
			return
		}
		idle.Reset(keepAlive)
	}
}

// rest writes short messages until a turn has come or, without one to wait for, there is something new to write. It
// reports whether the link can go on.
func (l *peerlink) rest(turn <-chan struct{}, idle *time.Timer) bool {
	for {
		if control := l.nextControl(); len(control) > 0 {
			if l.out.write(control) != nil {
				return false
			}
			idle.Reset(keepAlive)
		}
		select {
		case <-turn:
			return true
		case <-l.news:
			if turn == nil {
				return true
			}
		case <-idle.C:
			if l.out.write([]byte{0, 0, 0, 0}) != nil {
				return false
			}
			idle.Reset(keepAlive)
		case <-l.gone:
			return false
		}
	}
}

// check has the pieces of blocks compared with their sums, and reports whether the link can go on.
func (l *peerlink) check(blocks []origin.Block) bool {
	for _, b := range blocks {
		ok, err := l.offer.source.check(b.Piece, l.gone)
		if err != nil {
			l.offer.damaged(b.Piece, err)
		}
		if !ok {
			return false
		}
	}
	return true
}

// send sends the blocks of one turn, and reports whether the link can go on.
func (l *peerlink) send(blocks []origin.Block) bool {
	for _, b := range blocks {
		if control := l.nextControl(); len(control) > 0 && l.out.write(control) != nil {
			return false
		}
		start, _ := l.offer.info.Bounds(b.Piece)
		head := appendPieceHeader(make([]byte, 0, pieceHeader), uint32(b.Piece), uint32(b.Begin), uint32(b.Length))
		if err := l.out.send(head, l.offer.source, start+b.Begin, int(b.Length)); err != nil {
			if errors.Is(err, errUnreadable) {
				l.offer.damaged(b.Piece, err)
			}
			return false
		}
		l.offer.left(l, b)
	}
	return true
}
