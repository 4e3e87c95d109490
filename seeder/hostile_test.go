package seeder

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A rogue is a peer that speaks the protocol by hand, to break it. It listens where a client may be told to call it.
type rogue struct {
	t        *testing.T
	listener net.Listener
	info     Info
	hash     Hash
	blob     []byte
	asked    chan struct{} // closed at the first request
	once     sync.Once
	work     sync.WaitGroup
}

// A play is what a rogue does on a connection after the handshake; one that returns false hangs up.
type play struct {
	id      string      // how its id begins, instead of as our clients' do
	greet   func(*part) // instead of saying that it has everything
	request func(p *part, index, begin, length uint32) bool
}

// A part is one connection of a rogue.
type part struct {
	*rogue
	net.Conn
}

func openRogue(t *testing.T, host byte, info []byte, blob []byte) *rogue {
	t.Helper()
	l, err := net.Listen("tcp4", netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, host}), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	i, err := ParseInfo(info)
	if err != nil {
		t.Fatal(err)
	}
	r := &rogue{t: t, listener: l, info: i, hash: InfoHash(info), blob: blob, asked: make(chan struct{})}
	t.Cleanup(func() { l.Close(); r.work.Wait() })
	return r
}

func (r *rogue) addr() netip.AddrPort { return netip.MustParseAddrPort(r.listener.Addr().String()) }

// serve plays on every connection until the test ends.
func (r *rogue) serve(p play) {
	r.work.Go(func() {
		for {
			c, err := r.listener.Accept()
			if err != nil {
				return
			}
			stop := closeAtEnd(r.t, c)
			r.work.Go(func() { defer stop(); r.perform(c, p) })
		}
	})
}

// closeAtEnd closes a connection when the test ends, or when it is told.
func closeAtEnd(t *testing.T, c net.Conn) (now func()) {
	var once sync.Once
	now = func() { once.Do(func() { c.Close() }) }
	t.Cleanup(now)
	return now
}

func (r *rogue) perform(c net.Conn, p play) {
	one := &part{rogue: r, Conn: c}
	hello := r.handshake()
	copy(hello[handshakeLength-len(peerID{}):], p.id)
	if _, err := c.Write(hello); err != nil {
		return
	}
	in := bufio.NewReader(c)
	if _, err := io.CopyN(io.Discard, in, 68); err != nil {
		return
	}
	if p.greet != nil {
		p.greet(one)
	} else {
		one.say(14) // have all
		one.say(1)  // unchoke
	}
	for {
		body, err := readBody(in)
		if err != nil {
			return
		}
		if len(body) == 13 && body[0] == 6 {
			r.once.Do(func() { close(r.asked) })
			n := binary.BigEndian.Uint32
			if p.request != nil && !p.request(one, n(body[1:]), n(body[5:]), n(body[9:])) {
				return
			}
		}
	}
}

func (r *rogue) handshake() []byte {
	b := append([]byte("\x13BitTorrent protocol\x00\x00\x00\x00\x00\x00\x00\x04"), r.hash[:]...)
	id := r.addr().String()
	return append(b, []byte((clientID + id + "....................")[:20])...)
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

// say sends a message; who does not hear it has hung up, which the next read tells.
func (p *part) say(kind byte, numbers ...uint32) { p.sayWith(nil, kind, numbers...) }

func (p *part) sayWith(payload []byte, kind byte, numbers ...uint32) {
	_, _ = p.Write(encodeMessage(payload, kind, numbers...))
}

func encodeMessage(payload []byte, kind byte, numbers ...uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(1+4*len(numbers)+len(payload)))
	b = append(b, kind)
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return append(b, payload...)
}

// block returns the bytes of a request's answer.
func (r *rogue) block(index, begin, length uint32) []byte {
	off := int64(index)*r.info.PieceLength + int64(begin)
	return slices.Clone(r.blob[off : off+int64(length)])
}

// holder returns a node that has a blob and gives it on.
func holder(t *testing.T, host byte, info []byte, blob []byte) node {
	t.Helper()
	i, err := ParseInfo(info)
	if err != nil {
		t.Fatal(err)
	}
	n := fetch(t, host, info, fleet.Blob{Digest: i.Digest, Size: i.Size})
	fill(t, n, i, blob)
	return n
}

// fill delivers all pieces to a node.
func fill(t *testing.T, n node, i Info, blob []byte) {
	t.Helper()
	for p := range i.Pieces() {
		start, length := i.Bounds(p)
		if err := n.Put(start, blob[start:start+length]); err != nil {
			t.Fatal(err)
		}
	}
}

// has reports whether a client blames an address for a fault.
func has(c *Client, addr netip.Addr, kind fleet.PeerFault) bool {
	return slices.ContainsFunc(c.Faults(), func(f Fault) bool { return f.Peer == addr && f.Kind == kind && f.Count > 0 })
}

func TestRoguePeersAreNamedAndDoNoHarm(t *testing.T) {
	blob := testBlob(5<<20 + 99)
	info, ref := testInfo(t, blob)
	const nobody = fleet.PeerFault("")
	for name, c := range map[string]struct {
		host byte
		play play
		want fleet.PeerFault
	}{
		"flipped bits": {20, play{request: func(p *part, index, begin, length uint32) bool {
			b := p.block(index, begin, length)
			b[0] ^= 1
			p.sayWith(b, 7, index, begin)
			return true
		}}, fleet.FaultCorrupt},
		"blocks of another length": {21, play{request: func(p *part, index, begin, length uint32) bool {
			p.sayWith(p.block(index, begin, length)[1:], 7, index, begin)
			return true
		}}, fleet.FaultProtocol},
		"blocks that are too long": {22, play{request: func(p *part, index, begin, length uint32) bool {
			p.sayWith(append(p.block(index, begin, length), 0), 7, index, begin)
			return true
		}}, fleet.FaultProtocol},
		"blocks nobody asked for": {23, play{request: func(p *part, index, begin, length uint32) bool {
			for range 2 {
				p.sayWith(p.block(index, begin, length), 7, index, begin)
			}
			return true
		}}, fleet.FaultProtocol},
		"no blocks": {24, play{}, fleet.FaultStalled},
		"a byte now and then": {25, play{request: func(p *part, index, begin, length uint32) bool {
			for _, b := range encodeMessage(p.block(index, begin, length), 7, index, begin) {
				if _, err := p.Write([]byte{b}); err != nil {
					return false
				}
				select {
				case <-p.t.Context().Done():
					return false
				case <-time.After(100 * time.Millisecond):
				}
			}
			return true
		}}, fleet.FaultStalled},
		"nothing but keep-alives": {26, play{request: func(p *part, _, _, _ uint32) bool {
			_, _ = p.Write([]byte{0, 0, 0, 0})
			return true
		}}, fleet.FaultStalled},
		"pieces it does not have": {27, play{request: func(p *part, index, begin, length uint32) bool {
			p.say(16, index, begin, length) // reject
			return true
		}}, fleet.FaultStalled},
		"rejects of what nobody asked for": {28, play{request: func(p *part, _, _, _ uint32) bool {
			p.say(16, 3, 1, 1)
			return true
		}}, fleet.FaultProtocol},
		"a message without end": {29, play{request: func(p *part, _, _, _ uint32) bool {
			_, _ = p.Write([]byte{0x40, 0, 0, 0, 20})
			return true
		}}, fleet.FaultProtocol},
		"a message of no kind": {30, play{request: func(p *part, _, _, _ uint32) bool {
			p.say(99)
			return true
		}}, fleet.FaultProtocol},
		"a piece beyond the last": {31, play{request: func(p *part, _, _, _ uint32) bool {
			p.say(4, 1<<31)
			return true
		}}, fleet.FaultProtocol},
		"promises without bound": {32, play{request: func(p *part, _, _, _ uint32) bool {
			for i := range uint32(100) {
				p.say(17, 1<<16*i) // allowed fast
			}
			return true
		}}, fleet.FaultProtocol},
		"chatter": {33, play{request: func(p *part, _, _, _ uint32) bool {
			p.SetWriteDeadline(time.Now().Add(patience))
			for {
				if _, err := p.Write(bytes.Repeat([]byte{0, 0, 0, 1, 2}, 1000)); err != nil {
					return false
				}
			}
		}}, fleet.FaultFlood},
		"requests for what nobody has": {34, play{greet: func(p *part) {
			p.say(14)
			p.say(1)
			p.say(6, 0, 0, 16<<10)
		}}, nobody}, // it is rejected or hung up on, whatever comes first
		"flipped bits, as another client": {36, play{id: "-XX0001-", request: func(p *part, index, begin, length uint32) bool {
			b := p.block(index, begin, length)
			b[0] ^= 1
			p.sayWith(b, 7, index, begin)
			return true
		}}, fleet.FaultCorrupt},
		"blocks of another length, as another client": {37, play{id: "-XX0001-", request: func(p *part, index, begin, length uint32) bool {
			p.sayWith(p.block(index, begin, length)[1:], 7, index, begin)
			return true
		}}, fleet.FaultProtocol},
		"blocks nobody asked for, as another client": {38, play{id: "-XX0001-", request: func(p *part, index, begin, length uint32) bool {
			for range 2 {
				p.sayWith(p.block(index, begin, length), 7, index, begin)
			}
			return true
		}}, fleet.FaultProtocol},
		"every second block, as another client": {39, play{id: "-XX0001-", request: func(p *part, index, begin, length uint32) bool {
			if begin/partLength%2 == 0 {
				p.sayWith(p.block(index, begin, length), 7, index, begin)
			}
			return true
		}}, fleet.FaultStalled},
		"an unknown extension": {35, play{request: func(p *part, _, _, _ uint32) bool {
			p.sayWith([]byte("\x03d1:ade"), 20)
			return true
		}}, fleet.FaultProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := openRogue(t, c.host, info, blob)
			bad.serve(c.play)
			n := fetch(t, c.host+40, info, ref)
			feed(t, n.Download, bad.addr())
			select {
			case <-bad.asked:
			case <-time.After(patience):
				t.Fatal("the rogue was asked for nothing")
			}
			if c.want != nobody {
				eventually(t, func() bool { return has(n.Client, bad.addr().Addr(), c.want) },
					func() string { return "nobody is blamed" })
			}
			good := holder(t, c.host+80, info, blob)
			feed(t, n.Download, bad.addr(), good.Addr())
			n.mustHold(t, blob)
			for _, f := range n.Faults() {
				if f.Peer != bad.addr().Addr() {
					t.Errorf("an honest peer is blamed: %+v", f)
				}
			}
		})
	}
}

func TestBadBytesAreBlamedOnWhoSentThem(t *testing.T) {
	blob := testBlob(8 << 20)
	info, ref := testInfo(t, blob)
	good, better := holder(t, 3, info, blob), holder(t, 4, info, blob)
	bad := openRogue(t, 75, info, blob)
	bad.serve(play{request: func(p *part, index, begin, length uint32) bool {
		b := p.block(index, begin, length)
		b[len(b)-1] ^= byte(1 << (begin >> 16 & 1)) // a different bit in neighbouring blocks
		p.sayWith(b, 7, index, begin)
		return true
	}})
	n := fetch(t, 2, info, ref)
	for _, h := range []node{good, better} {
		h.SetUploadLimit(4 << 20) // so that pieces come from all three
	}
	feed(t, n.Download, good.Addr(), bad.addr(), better.Addr())
	n.mustHold(t, blob)
	select {
	case <-bad.asked:
	default:
		t.Fatal("the rogue was asked for nothing")
	}
	for _, f := range n.Faults() {
		if f.Peer != bad.addr().Addr() {
			t.Errorf("an honest peer is blamed: %+v", f)
		}
	}
	if !has(n.Client, bad.addr().Addr(), fleet.FaultCorrupt) {
		t.Errorf("the rogue is not blamed: %+v", n.Faults())
	}
}

// mustHold waits for a download whatever it took.
func (n node) mustHold(t *testing.T, blob []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.Wait(ctx); err != nil {
		t.Fatalf("%v; %+v", err, n.Progress())
	}
	got, err := io.ReadAll(io.NewSectionReader(n.file, 0, int64(len(blob))+1))
	if err != nil || !bytes.Equal(got, blob) {
		t.Fatalf("the file differs from the blob (error %v)", err)
	}
}
