package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"
)

// A Play is what a rogue does to others.
type Play string

// The plays.
const (
	FlipBits    Play = "flips bits"         // of the blocks that it sends
	WrongLength Play = "wrong lengths"      // its blocks lack a byte
	Trickle     Play = "a byte a second"    // of its blocks
	Withhold    Play = "withholds"          // takes requests and answers none
	FalseHaves  Play = "false haves"        // says that it has everything, and rejects requests
	Flood       Play = "floods"             // calls, and calls again
	Oversize    Play = "oversized messages" // announces a message of a gigabyte
)

// A play is how a rogue does it.
type play struct {
	whole   bool // it tells controllers that it holds everything, not half
	noCalls bool // it waits to be called
	crowd   int  // that many calls to one peer are open at once, and nothing is said on them
	request func(ctx context.Context, p *part, index, begin, length uint32) error
}

// plays are what rogues can do.
var plays = map[Play]play{
	FlipBits: {whole: true, request: func(_ context.Context, p *part, index, begin, length uint32) error {
		b, err := p.block(index, begin, length)
		if err != nil {
			return err
		}
		b[len(b)/2] ^= 1
		return p.say(b, 7, index, begin)
	}},
	WrongLength: {request: func(_ context.Context, p *part, index, begin, length uint32) error {
		b, err := p.block(index, begin, length)
		if err != nil {
			return err
		}
		return p.say(b[1:], 7, index, begin)
	}},
	Trickle: {whole: true, request: func(ctx context.Context, p *part, index, begin, length uint32) error {
		b, err := p.block(index, begin, length)
		if err != nil {
			return err
		}
		m := encode(b, 7, index, begin)
		return every(ctx, time.Second, func() {
			if _, err := p.Write(m[:1]); err != nil || len(m) == 1 {
				p.Close()
				return
			}
			m = m[1:]
		})
	}},
	Withhold: {},
	FalseHaves: {request: func(_ context.Context, p *part, index, begin, length uint32) error {
		return p.say(nil, 16, index, begin, length)
	}},
	Flood: {crowd: 64},
	Oversize: {request: func(_ context.Context, p *part, _, _, _ uint32) error {
		_, err := p.Write([]byte{0x40, 0, 0, 0, 20})
		return err
	}},
}

// A part is one connection of a rogue.
type part struct {
	*rogue
	net.Conn
}

// perform plays on a connection until one of the two hangs up or ctx ends.
func (r *rogue) perform(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &part{r, conn}
	defer p.Close()
	context.AfterFunc(ctx, func() { p.Close() })
	in := bufio.NewReader(conn)
	if _, err := p.Write(r.handshake()); err != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, in, 68); err != nil {
		return
	}
	if p.say(nil, 14) != nil || p.say(nil, 1) != nil || p.say(nil, 2) != nil { // have all, unchoke, interested
		return
	}
	for {
		body, err := readBody(in)
		if err != nil {
			return
		}
		if len(body) != 13 || body[0] != 6 || r.request == nil {
			continue
		}
		n := binary.BigEndian.Uint32
		if r.request(ctx, p, n(body[1:]), n(body[5:]), n(body[9:])) != nil {
			return
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
	_ = every(ctx, 20*time.Millisecond, func() {
		c, err := r.dial(ctx, to)
		if err != nil {
			return
		}
		if open = append(open, c); len(open) > r.crowd {
			open[0].Close()
			open = slices.Delete(open, 0, 1)
		}
	})
}

// handshake is one with BEP 6 and no other extension.
func (r *rogue) handshake() []byte {
	b := append([]byte("\x13BitTorrent protocol\x00\x00\x00\x00\x00\x00\x00\x04"), r.hash[:]...)
	return append(b, ("-RG0001-" + r.Address.String() + "............")[:20]...)
}

// readBody reads a message without its length.
func readBody(in *bufio.Reader) ([]byte, error) {
	var n uint32
	if err := binary.Read(in, binary.BigEndian, &n); err != nil {
		return nil, err
	}
	if n > 1<<20 {
		return nil, errors.New("too long")
	}
	body := make([]byte, n)
	_, err := io.ReadFull(in, body)
	return body, err
}

// Write writes, but does not wait forever for one who does not read.
func (p *part) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(rogueWrites)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

func (p *part) say(payload []byte, kind byte, numbers ...uint32) error {
	_, err := p.Write(encode(payload, kind, numbers...))
	return err
}

func encode(payload []byte, kind byte, numbers ...uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(1+4*len(numbers)+len(payload)))
	b = append(b, kind)
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return append(b, payload...)
}

// block returns the true bytes of a request's answer.
func (r *rogue) block(index, begin, length uint32) ([]byte, error) {
	if length == 0 || length > 1<<20 {
		return nil, errors.New("asked for no block")
	}
	b := make([]byte, length)
	_, err := r.blob.ReadAt(b, int64(index)*r.info.PieceLength+int64(begin))
	return b, err
}
