package seeder

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// A desk is a splitter between a library and a peer that a test plays, message by message.
type desk struct {
	*splitter
	fromPeer bytes.Buffer
}

func newDesk(fast bool, id string) *desk {
	h := handshake{fast: fast}
	copy(h.id[:], id)
	d := &desk{splitter: newSplitter(nil, h)}
	d.in.in.Reset(&d.fromPeer)
	return d
}

// says returns the messages that the peer is sent when the library says something, in one piece or in bytes.
func (d *desk) says(t rapid.TB, b []byte, step int) []spoken {
	t.Helper()
	var sent []byte
	for part := range slices.Chunk(b, step) {
		out, err := d.split(part)
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, bytes.Join(out, nil)...)
	}
	return spokenIn(t, sent)
}

// hears returns the messages that the library hears once the peer has said something.
func (d *desk) hears(t rapid.TB, b []byte) []spoken {
	t.Helper()
	heard, err := d.hearsAll(b)
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return spokenIn(t, heard)
}

// hearsAll returns what the library hears until there is no more, and why.
func (d *desk) hearsAll(b []byte) ([]byte, error) {
	d.fromPeer.Write(b)
	var heard []byte
	for buf := make([]byte, 5000); ; {
		n, err := d.splitter.Read(buf)
		heard = append(heard, buf[:n]...)
		if err != nil {
			return heard, err
		}
	}
}

// spoken is a message: of a PIECE the length is that of its bytes.
type spoken struct {
	kind messageKind
	request
	bytes []byte
}

func (m spoken) is(kind messageKind, r request) bool { return m.kind == kind && m.request == r }

func spokenIn(t rapid.TB, b []byte) []spoken {
	t.Helper()
	var all []spoken
	for len(b) > 0 {
		length := binary.BigEndian.Uint32(b)
		body := b[4 : 4+length]
		b = b[4+length:]
		m := spoken{kind: msgKeepAlive}
		if length > 0 {
			m.kind = messageKind(body[0])
		}
		switch m.kind {
		case msgRequest, msgCancel, msgReject:
			m.request = requestIn(append(make([]byte, 4), body...))
		case msgPiece:
			m.request = request{binary.BigEndian.Uint32(body[1:]), binary.BigEndian.Uint32(body[5:]), length - 9}
			m.bytes = body[9:]
		}
		all = append(all, m)
	}
	return all
}

func numbered(kind messageKind, r request) []byte {
	return appendMessage(nil, kind, r.index, r.begin, r.length)
}

// answer returns the PIECE that answers a request: each byte tells where it belongs.
func answer(r request) []byte {
	return append(appendPieceHeader(nil, r.index, r.begin, r.length), bytesOf(r)...)
}

func bytesOf(r request) []byte {
	b := make([]byte, r.length)
	for i := range b {
		at := r.begin + uint32(i)
		b[i] = byte(r.index*7 + at*31 + at>>8 + at>>16)
	}
	return b
}

func (m spoken) mustBeTrue(t rapid.TB) {
	t.Helper()
	if m.kind == msgPiece && !bytes.Equal(m.bytes, bytesOf(m.request)) {
		t.Fatalf("the bytes of %v are not its own", m.request)
	}
}

func TestRequestsAreAskedInParts(t *testing.T) {
	long := request{3, chunkLength, chunkLength}
	said := slices.Concat(numbered(msgRequest, long), appendMessage(nil, msgHave, 1), answer(request{1, 0, chunkLength}), []byte{0, 0, 0, 0},
		numbered(msgRequest, request{9, 0, 40000}), numbered(msgCancel, long), numbered(msgCancel, request{8, 0, chunkLength}))
	want := []spoken{{kind: msgRequest, request: request{3, 65536, 16384}}, {kind: msgRequest, request: request{3, 81920, 16384}},
		{kind: msgRequest, request: request{3, 98304, 16384}}, {kind: msgRequest, request: request{3, 114688, 16384}},
		{kind: msgHave}, {kind: msgPiece, request: request{1, 0, chunkLength}}, {kind: msgKeepAlive},
		{kind: msgRequest, request: request{9, 0, 16384}}, {kind: msgRequest, request: request{9, 16384, 16384}}, {kind: msgRequest, request: request{9, 32768, 7232}},
		{kind: msgCancel, request: request{3, 65536, 16384}}, {kind: msgCancel, request: request{3, 81920, 16384}},
		{kind: msgCancel, request: request{3, 98304, 16384}}, {kind: msgCancel, request: request{3, 114688, 16384}}}
	for _, step := range []int{len(said), 3} {
		d := newDesk(true, "-LT2000-")
		got := d.says(t, said, step)
		if !slices.EqualFunc(got, want, func(a, b spoken) bool { return a.is(b.kind, b.request) }) {
			t.Errorf("by %d bytes: got %v, want %v", step, got, want)
		}
		for _, m := range got {
			m.mustBeTrue(t)
		}
	}
}

// TestWrongAnswersEndTheConnection plays peers that answer what they were not asked.
func TestWrongAnswersEndTheConnection(t *testing.T) {
	asked := request{1, 0, chunkLength}
	many := bytes.Repeat(answer(request{1, 0, partLength}), 5)
	for name, c := range map[string]struct {
		fast bool
		said []byte
	}{
		"a short block":                      {true, answer(request{1, partLength, partLength - 1})},
		"a long block":                       {true, answer(request{1, partLength, partLength + 1})},
		"a block without a place":            {true, raw(msgPiece, 1, 2, 3)},
		"another block":                      {true, answer(request{1, chunkLength, partLength})},
		"a block twice":                      {true, many[:2*len(many)/5]},
		"more than was asked, without BEP 6": {false, many},
		"a rejection of another length":      {true, numbered(msgReject, asked)},
		"a rejection cut short":              {true, raw(msgReject, 1, 2, 3)},
	} {
		d := newDesk(c.fast, "-LT2000-")
		d.says(t, numbered(msgRequest, asked), requestLength)
		if heard, err := d.hearsAll(c.said); !errors.Is(err, errMalformed) || len(heard) > 0 {
			t.Errorf("%s: the library hears %d bytes and %v, want %v", name, len(heard), err, errMalformed)
		}
	}
}

func TestPeerMayOweOnlySoMuch(t *testing.T) {
	d := newDesk(true, "-LT2000-")
	var err error
	asked := 0
	for ; err == nil && asked <= maxParts; asked++ {
		_, err = d.split(numbered(msgRequest, request{uint32(asked), 0, partLength}))
	}
	if !errors.Is(err, errMalformed) || asked != maxParts+1 {
		t.Errorf("got %v after %d requests, want %v after %d", err, asked, errMalformed, maxParts+1)
	}
}

// A trade is a library and a peer on both sides of a splitter. What they say is on its way for a while. A peer that rejects
// nothing that is cancelled, though it knows BEP 6, rejects nothing here: the library hangs up where that crosses a
// cancellation.
type trade struct {
	*desk
	fast, acks bool

	// The library's. A chunk is one of four requests.
	wants, cancelled map[request]bool // without an answer
	valid            map[request]int  // blocks that may come, by what the library would hang up for
	choked           bool

	queue    []request // the peer's: what it is to answer
	choking  bool
	toPeer   []spoken
	fromPeer [][]byte
	heard    []spoken
}

var tradeChunks = []request{{0, 0, chunkLength}, {0, chunkLength, chunkLength}, {1, 0, chunkLength}, {1, chunkLength, 20001}}

func (x *trade) say(t rapid.TB, kind messageKind, r request) {
	x.toPeer = append(x.toPeer, x.says(t, numbered(kind, r), requestLength)...)
}

// ask and cancel do as the library does.
func (x *trade) ask(t rapid.TB, r request) {
	if x.wants[r] || x.cancelled[r] || x.choked {
		return
	}
	x.wants[r] = true
	x.valid[r]++
	x.say(t, msgRequest, r)
}

func (x *trade) cancel(t rapid.TB, r request) {
	if !x.wants[r] {
		return
	}
	delete(x.wants, r)
	if x.acks {
		x.cancelled[r] = true
	}
	x.say(t, msgCancel, r)
}

// library has the library hear one message.
func (x *trade) library(t rapid.TB) {
	if len(x.heard) == 0 {
		return
	}
	m := x.heard[0]
	x.heard = x.heard[1:]
	m.mustBeTrue(t)
	switch m.kind {
	case msgPiece:
		if x.valid[m.request] == 0 || !slices.Contains(tradeChunks, m.request) {
			t.Fatalf("the library hears a block of %v that it does not wait for", m.request)
		}
	case msgReject:
		if !x.wants[m.request] && !x.cancelled[m.request] {
			t.Fatalf("the library hears a rejection of %v, of which it waits for nothing", m.request)
		}
	case msgChoke:
		x.choked = true
		if !x.fast {
			clear(x.wants)
		}
		return
	case msgUnchoke:
		x.choked = false
		return
	default:
		t.Fatalf("the library hears %v, which nobody said", m)
	}
	x.valid[m.request]--
	delete(x.wants, m.request)
	delete(x.cancelled, m.request)
}

// peer has the peer hear one message.
func (x *trade) peer(t rapid.TB) {
	if len(x.toPeer) == 0 {
		return
	}
	m := x.toPeer[0]
	x.toPeer = x.toPeer[1:]
	if m.length > partLength {
		t.Fatalf("the peer hears of %v", m)
	}
	waits := slices.Index(x.queue, m.request)
	switch {
	case m.kind == msgRequest && waits >= 0 && x.acks:
		t.Fatalf("the peer is asked for %v while it has to send it", m.request)
	case m.kind == msgRequest && x.choking && x.acks:
		x.fromPeer = append(x.fromPeer, numbered(msgReject, m.request))
	case m.kind == msgRequest && (!x.choking || x.fast):
		x.queue = append(x.queue, m.request)
	case m.kind == msgCancel && waits >= 0:
		x.queue = slices.Delete(x.queue, waits, waits+1)
		if x.acks {
			x.fromPeer = append(x.fromPeer, numbered(msgReject, m.request))
		}
	}
}

// answers has the peer answer one of the parts that it was asked for.
func (x *trade) answers(which int, reject bool) {
	if len(x.queue) == 0 {
		return
	}
	which %= len(x.queue)
	r := x.queue[which]
	x.queue = slices.Delete(x.queue, which, which+1)
	if reject && x.acks {
		x.fromPeer = append(x.fromPeer, numbered(msgReject, r))
	} else {
		x.fromPeer = append(x.fromPeer, answer(r))
	}
}

func (x *trade) chokes(choking bool) {
	if x.choking == choking {
		return
	}
	x.choking = choking
	kind := msgUnchoke
	if choking {
		kind = msgChoke
	}
	x.fromPeer = append(x.fromPeer, appendMessage(nil, kind))
	for choking && len(x.queue) > 0 && x.acks {
		x.answers(0, true)
	}
	if choking && !x.fast {
		x.queue = nil
	}
}

func (x *trade) arrive(t rapid.TB) {
	if len(x.fromPeer) > 0 {
		x.heard = append(x.heard, x.hears(t, x.fromPeer[0])...)
		x.fromPeer = x.fromPeer[1:]
	}
}

// TestEveryRequestIsAnsweredOnce has the library and a peer say all that they may, at any time.
func TestEveryRequestIsAnsweredOnce(t *testing.T) {
	for name, c := range map[string]struct {
		id         string
		fast, acks bool
	}{"fast": {"-LT2000-", true, true}, "old Transmission": {"-TR3000-", true, false}, "plain": {"-XX0001-", false, false}} {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			x := &trade{desk: newDesk(c.fast, c.id), fast: c.fast, acks: c.acks, wants: map[request]bool{}, cancelled: map[request]bool{}, valid: map[request]int{}}
			chunk := rapid.SampledFrom(tradeChunks)
			t.Repeat(map[string]func(*rapid.T){
				"ask":     func(t *rapid.T) { x.ask(t, chunk.Draw(t, "chunk")) },
				"cancel":  func(t *rapid.T) { x.cancel(t, chunk.Draw(t, "chunk")) },
				"library": func(t *rapid.T) { x.library(t) },
				"peer":    func(t *rapid.T) { x.peer(t) },
				"answer":  func(t *rapid.T) { x.answers(rapid.IntRange(0, 99).Draw(t, "which"), false) },
				"reject":  func(t *rapid.T) { x.answers(rapid.IntRange(0, 99).Draw(t, "which"), true) },
				"arrive":  func(t *rapid.T) { x.arrive(t) },
				"choke":   func(t *rapid.T) { x.chokes(rapid.Bool().Draw(t, "choking")) },
			})
			for range 2 { // what is on its way arrives, and then what the peer says to that
				for len(x.toPeer) > 0 {
					x.peer(t)
				}
				for len(x.queue) > 0 {
					x.answers(0, false)
				}
				for len(x.fromPeer) > 0 {
					x.arrive(t)
				}
				for len(x.heard) > 0 {
					x.library(t)
				}
			}
			if len(x.cancelled) > 0 || (c.fast && len(x.wants) > 0) {
				t.Fatalf("no answer came for %v, and for %v, which were cancelled", x.wants, x.cancelled)
			}
			if x.hears(t, appendMessage(nil, msgChoke)); len(x.parts.open) > 0 {
				t.Fatalf("%d parts wait for an answer", len(x.parts.open))
			}
		}))
	}
}

// TestChokeEndsRequestsWithoutFast has a peer that does not know BEP 6 choke. What the library asks before it knows of that is
// forgotten too.
func TestChokeEndsRequestsWithoutFast(t *testing.T) {
	first, crossing, last := request{1, 0, 20000}, request{2, 0, 20000}, request{3, 0, 20000}
	d := newDesk(false, "-XX0001-")
	d.hears(t, raw(msgUnchoke))
	d.says(t, numbered(msgRequest, first), requestLength)
	d.hears(t, slices.Concat(answer(request{1, 0, partLength}), raw(msgChoke)))
	d.says(t, numbered(msgRequest, crossing), requestLength)
	d.hears(t, raw(msgUnchoke))
	if n := len(d.parts.open); n > 0 {
		t.Errorf("%d parts of what the peer has forgotten wait for an answer", n)
	}
	d.says(t, numbered(msgRequest, last), requestLength)
	got := d.hears(t, slices.Concat(raw(msgUnchoke), answer(request{3, 0, partLength}), answer(request{2, 0, partLength}), answer(request{3, partLength, 3616})))
	if len(got) != 2 || !got[1].is(msgPiece, last) {
		t.Fatalf("the library hears %v, want a block of %v", got, last)
	}
	got[1].mustBeTrue(t)
}

// TestRequestIsCancelledWhileItComes has the library cancel a request, and perhaps make it again, amid a block of its.
func TestRequestIsCancelledWhileItComes(t *testing.T) {
	r := request{1, 0, partLength + 1}
	first, second := answer(request{1, 0, partLength}), answer(request{1, partLength, 1})
	for name, c := range map[string]struct {
		fast bool
		ask  []byte // with the cancellation
		then []byte // from the peer
		want spoken
	}{
		"fast":             {true, nil, numbered(msgReject, request{1, partLength, 1}), spoken{kind: msgReject, request: r}},
		"fast, too late":   {true, nil, second, spoken{kind: msgReject, request: r}},
		"plain":            {false, nil, slices.Concat(second, raw(msgUnchoke)), spoken{kind: msgUnchoke}},
		"plain, and again": {false, numbered(msgRequest, r), slices.Concat(first, second), spoken{kind: msgPiece, request: r}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				defer far.Close()
				s := newSplitter(near, handshake{fast: c.fast})
				go func() { _, _ = io.Copy(io.Discard, far) }()
				say := func(b []byte) {
					if _, err := s.Write(b); err != nil {
						t.Fatal(err)
					}
				}
				say(numbered(msgRequest, r))
				heard := make(chan []byte)
				go func() {
					var all []byte
					for b := make([]byte, 5000); ; {
						n, err := s.Read(b)
						if all = append(all, b[:n]...); err != nil {
							heard <- all
							return
						}
					}
				}()
				middle := len(first) / 2
				_, _ = far.Write(first[:middle])
				synctest.Wait()
				say(append(numbered(msgCancel, r), c.ask...))
				_, _ = far.Write(slices.Concat(first[middle:], c.then))
				far.Close()
				got := spokenIn(t, <-heard)
				if len(got) != 1 || !got[0].is(c.want.kind, c.want.request) {
					t.Fatalf("the library hears %v, want %v", got, c.want)
				}
				got[0].mustBeTrue(t)
			})
		})
	}
}

func TestOnlyOthersAreAskedInParts(t *testing.T) {
	c := openClient(t, 2, nil)
	for id, want := range map[string]int{clientID: 1, serverID: 1, "-LT20B0-": 4, "A2-1-37-0": 4, "": 4} {
		near, far := net.Pipe()
		l := &link{Conn: near, client: c}
		h := handshake{fast: true}
		copy(h.id[:], id)
		heard := make(chan []byte)
		go func() {
			_, _ = far.Write(append(h.encode(), 0, 0, 0, 0))
			all, _ := io.ReadAll(far)
			heard <- all
		}()
		if got, raw, err := readHandshake(l); err != nil || got != h || len(raw) != handshakeLength {
			t.Fatal(got, err)
		}
		if _, err := io.ReadFull(l, make([]byte, 4)); err != nil {
			t.Errorf("id %q: what follows the handshake: %v", id, err)
		}
		ours := handshake{id: peerID{1}}.encode()
		if n, err := l.Write(append(ours, numbered(msgRequest, request{1, 0, chunkLength})...)); err != nil || n != handshakeLength+requestLength {
			t.Fatal(n, err)
		}
		l.Close()
		if got, said := <-heard, len(ours)+want*requestLength; len(got) != said || !bytes.HasPrefix(got, ours) {
			t.Errorf("id %q: the peer hears %d bytes, want our handshake and %d requests", id, len(got), want)
		}
		far.Close()
	}
	if s := openServer(t, 3, ServerConfig{}); !strings.HasPrefix(string(s.id[:]), serverID) {
		t.Errorf("a server is called %q, want %q first", s.id, serverID)
	}
}

// FuzzSplitter has a peer say anything. What the library hears of a request must be true.
func FuzzSplitter(f *testing.F) {
	asked := request{1, 0, 40000}
	f.Add(slices.Concat(answer(request{1, 16384, 16384}), answer(request{1, 0, 16384}), answer(request{1, 32768, 7232})), true, false)
	f.Add(slices.Concat(answer(request{1, 0, 16384}), numbered(msgReject, request{1, 16384, 16384}), numbered(msgReject, request{1, 32768, 7232})), true, true)
	f.Add(slices.Concat(raw(msgChoke), raw(msgUnchoke), raw(msgBitfield, 1, 2, 3)), false, false)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 7, 0, 0, 0, 1}, true, false)
	f.Fuzz(func(t *testing.T, said []byte, fast, cancel bool) {
		d := newDesk(fast, "-LT2000-")
		d.says(t, numbered(msgRequest, asked), requestLength)
		if cancel {
			d.says(t, numbered(msgCancel, asked), requestLength)
		}
		heard, _ := d.hearsAll(said)
		if len(heard) > len(said)+2*pieceHeader {
			t.Fatalf("the library hears %d bytes, of %d", len(heard), len(said))
		}
		if len(d.parts.open) > 3 || d.parts.owed < 0 || d.parts.owed > 3 {
			t.Fatalf("%d parts are open, %d owed", len(d.parts.open), d.parts.owed)
		}
	})
}
