package peer

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// A Play is what a rogue does to others.
type Play string

// The plays. Whatever it is, a rogue says to its peers that it has everything.
const (
	FlipBits      Play = "flips bits"         // of the blocks that it sends
	WrongLength   Play = "wrong lengths"      // its blocks lack a byte
	Trickle       Play = "a byte a second"    // of its blocks
	Withhold      Play = "withholds"          // takes requests and answers none
	FalseHaves    Play = "false haves"        // rejects every request
	Flood         Play = "floods"             // calls, and calls again
	Oversize      Play = "oversized messages" // announces a message of a gigabyte
	NameStrangers Play = "names strangers"    // to its peers by BEP 11, and to trackers in the place of its own address
)

// How rogues overdo it.
const (
	floodEvery = 40 * time.Millisecond // a call to each peer, which is several times what a door lets pass
	floodOpen  = 64                    // calls to one peer that are open at once
	trickles   = time.Second           // between two bytes
)

// A play is how a rogue does it.
type play struct {
	whole  bool // it tells controllers that it holds everything, not half
	floods bool // it says nothing on the connections that it makes

	greet  func(p *part) error                              // after the handshake; may be nil
	answer func(ctx context.Context, p *part, w want) error // to a request; nil answers none
	aside  func(ctx context.Context, r *rogue)              // with every report; may be nil
}

// plays are what rogues can do.
var plays = map[Play]play{
	FlipBits: {whole: true, answer: func(_ context.Context, p *part, w want) error {
		return p.send(w, func(b []byte) []byte {
			b[len(b)/2] ^= 1
			return b
		})
	}},
	WrongLength: {answer: func(_ context.Context, p *part, w want) error {
		return p.send(w, func(b []byte) []byte { return b[1:] })
	}},
	Trickle:  {whole: true, answer: trickle},
	Withhold: {},
	FalseHaves: {answer: func(_ context.Context, p *part, w want) error {
		return p.say(msgReject, nil, w.index, w.begin, w.length)
	}},
	Flood: {floods: true},
	Oversize: {answer: func(_ context.Context, p *part, _ want) error {
		_, err := p.Write([]byte{0x40, 0, 0, 0, msgExtended})
		return err
	}},
	NameStrangers: {greet: nameStrangers, aside: announceStrangers},
}

// A part is one connection of a rogue.
type part struct {
	*rogue
	*wire
}

// perform plays on a connection until one of the two hangs up or ctx ends.
func (r *rogue) perform(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &part{r, newWire(conn)}
	defer p.Close()
	defer context.AfterFunc(ctx, func() { p.Close() })()
	if p.wire.greet(r.hash, r.Address) != nil {
		return
	}
	if p.say(msgHaveAll, nil) != nil || p.say(msgUnchoke, nil) != nil || p.say(msgInterested, nil) != nil {
		return
	}
	if r.play.greet != nil && r.play.greet(p) != nil {
		return
	}
	for {
		body, err := p.next()
		if err != nil {
			return
		}
		if w, is := parseWant(body); is && r.answer != nil && r.answer(ctx, p, w) != nil {
			return
		}
	}
}

// send answers a request with what spoil makes of the true bytes.
func (p *part) send(w want, spoil func([]byte) []byte) error {
	b, err := w.block(p.blob, p.info)
	if err != nil {
		return err
	}
	return p.say(msgPiece, spoil(b), w.index, w.begin)
}

// trickle answers a request rightly, but so slowly that it takes hours.
func trickle(ctx context.Context, p *part, w want) error {
	b, err := w.block(p.blob, p.info)
	if err != nil {
		return err
	}
	tick := time.NewTicker(trickles)
	defer tick.Stop()
	for _, one := range message(msgPiece, b, w.index, w.begin) {
		if _, err := p.Write([]byte{one}); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// nameStrangers tells a peer of those in Others, as one that is connected to them.
func nameStrangers(p *part) error {
	if err := p.say(msgExtended, []byte("\x00d1:md6:ut_pexi1eee")); err != nil {
		return err
	}
	var added []byte
	for _, s := range p.Others {
		ip := s.Addr().As4()
		added = append(append(added, ip[:]...), byte(s.Port()>>8), byte(s.Port()))
	}
	return p.say(msgExtended, fmt.Appendf(nil, "\x01d5:added%d:%s7:added.f%d:%se", len(added), added, len(p.Others), make([]byte, len(p.Others))))
}

// announceStrangers tells every controller's tracker that those in Others are peers.
func announceStrangers(ctx context.Context, r *rogue) {
	for _, s := range r.Others {
		query := announceQuery(r.hash, s.Port(), 0, "&ip="+s.Addr().String())
		for _, tracker := range r.trackers() {
			_, _ = ask(ctx, r.Address, tracker, query) // again with the next report
		}
	}
}

// flood keeps a peer's door busy until ctx ends.
func (r *rogue) flood(ctx context.Context, to netip.AddrPort) {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	_ = every(ctx, floodEvery, func() {
		c, err := dialFrom(ctx, r.Address, to)
		if err != nil {
			return
		}
		if open = append(open, c); len(open) > floodOpen {
			open[0].Close()
			open = slices.Delete(open, 0, 1)
		}
	})
}
