package seeder

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	peerproto "github.com/anacrolix/torrent/peer_protocol"
)

// raw returns a message of a kind with any bytes.
func raw(kind messageKind, body ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(1+len(body)))
	return append(append(b, byte(kind)), body...)
}

func readAll(t *testing.T, in []byte, pieces int, fast bool) ([]message, error) {
	t.Helper()
	r := newMessageReader(inParts(in), pieces, fast)
	var got []message
	for {
		var m message
		if err := r.next(&m); err != nil {
			return got, err
		}
		m.bits = slices.Clone(m.bits)
		got = append(got, m)
	}
}

// inParts returns a reader that never returns more than three bytes at once.
func inParts(b []byte) io.Reader { return threeBytes{bytes.NewReader(b)} }

type threeBytes struct{ io.Reader }

func (r threeBytes) Read(b []byte) (int, error) { return r.Reader.Read(b[:min(3, len(b))]) }

func TestMessagesAreRead(t *testing.T) {
	in := slices.Concat(
		raw(msgExtended, []byte("\x00d1:mdee")...), raw(msgBitfield, 0xa5, 0x80), []byte{0, 0, 0, 0}, raw(msgInterested),
		appendMessage(nil, msgHave, 7), appendMessage(nil, msgRequest, 1, 2, 3), appendMessage(nil, msgCancel, 4, 5, 6),
		appendMessage(nil, msgHaveAll), appendMessage(nil, msgHaveNone), appendMessage(nil, msgReject, 1, 2, 3), raw(msgPort, 1, 2), raw(99, 1))
	want := []message{{kind: msgUnknown}, {kind: msgBitfield, bits: []byte{0xa5, 0x80}}, {kind: msgKeepAlive}, {kind: msgInterested},
		{kind: msgHave, index: 7}, {kind: msgRequest, index: 1, begin: 2, length: 3}, {kind: msgCancel, index: 4, begin: 5, length: 6},
		{kind: msgHaveAll}, {kind: msgHaveNone}, {kind: msgUnknown}, {kind: msgUnknown}, {kind: msgUnknown}}
	got, err := readAll(t, in, 9, true)
	if !errors.Is(err, io.EOF) || !slices.EqualFunc(got, want, equalMessages) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func equalMessages(a, b message) bool {
	return a.kind == b.kind && a.index == b.index && a.begin == b.begin && a.length == b.length && bytes.Equal(a.bits, b.bits)
}

func TestMalformedMessagesAreRefused(t *testing.T) {
	huge := binary.BigEndian.AppendUint32(nil, 1<<31)
	for name, in := range map[string][]byte{
		"bitfield of another length": raw(msgBitfield, 1),
		"have without a piece":       raw(msgHave),
		"request that is too long":   raw(msgRequest, make([]byte, 16)...),
		"piece":                      raw(msgPiece, make([]byte, 8)...),
		"choke with something":       raw(msgChoke, 1),
		"have-all without Fast":      raw(msgHaveAll),
		"a huge unknown one":         append(huge, 99),
		"a huge request":             append(huge, byte(msgRequest)),
	} {
		if got, err := readAll(t, in, 9, false); !errors.Is(err, errMalformed) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, errMalformed)
		}
	}
	if _, err := readAll(t, appendMessage(nil, msgRequest, 1, 2, 3)[:9], 9, true); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a message cut short: got %v", err)
	}
}

func TestHandshakeRoundTrip(t *testing.T) {
	want := handshake{extended: true, fast: true, hash: Hash{1, 2, 3}, id: peerID{9, 8}}
	in := bytes.NewReader(append(want.encode(), "more"...))
	got, bytesOf, err := readHandshake(in)
	if err != nil || got != want || !bytes.Equal(bytesOf, want.encode()) || in.Len() != 4 {
		t.Errorf("got %v, %v, with %d bytes left, want %v with 4", got, err, in.Len(), want)
	}
	if _, _, err := readHandshake(strings.NewReader("GET / HTTP/1.1\r\nHost: ")); !errors.Is(err, errMalformed) {
		t.Errorf("a call of HTTP: got %v", err)
	}
}

// TestOthersReadWhatWeWrite holds what is sent against the decoder of the library that nodes run.
func TestOthersReadWhatWeWrite(t *testing.T) {
	block := append(appendPieceHeader(nil, 5, 6, 3), "abc"...)
	for name, c := range map[string]struct {
		sent []byte
		want peerproto.Message
	}{
		"have":     {appendMessage(nil, msgHave, 5), peerproto.Message{Type: peerproto.Have, Index: 5}},
		"reject":   {appendMessage(nil, msgReject, 5, 6, 7), peerproto.Message{Type: peerproto.Reject, Index: 5, Begin: 6, Length: 7}},
		"piece":    {block, peerproto.Message{Type: peerproto.Piece, Index: 5, Begin: 6, Piece: []byte("abc")}},
		"extended": {extendedHandshake(250, "x"), peerproto.Message{Type: peerproto.Extended, ExtendedPayload: []byte("d1:mde4:reqqi250e1:v1:xe")}},
	} {
		want, err := c.want.MarshalBinary()
		if err != nil || !bytes.Equal(c.sent, want) {
			t.Errorf("%s: got %q, want %q (%v)", name, c.sent, want, err)
		}
	}
}

// FuzzPeerMessages feeds a handshake and what follows. What is read must be what was written.
func FuzzPeerMessages(f *testing.F) {
	hello := handshake{fast: true, extended: true, hash: Hash{1}}.encode()
	f.Add(slices.Concat(hello, raw(msgBitfield, 0xff, 0x80), appendMessage(nil, msgRequest, 1, 0, 1<<14)), uint16(9), true)
	f.Add(slices.Concat(hello, appendMessage(nil, msgHaveAll), []byte{0, 0, 0, 0}), uint16(1), true)
	f.Add(slices.Concat(hello, appendMessage(nil, msgHave, 1<<31), raw(msgExtended, []byte("\x00d1:ei1ee")...)), uint16(300), false)
	f.Add(append(slices.Clone(hello), 0xff, 0xff, 0xff, 0xff, 6), uint16(2), false)
	f.Add([]byte(protocolName), uint16(0), false)
	f.Fuzz(func(t *testing.T, in []byte, pieces uint16, fast bool) {
		h, _, err := readHandshake(bytes.NewReader(in))
		if err != nil {
			return
		}
		again, _, err := readHandshake(bytes.NewReader(h.encode()))
		if err != nil || again != h {
			t.Fatalf("%v became %v, %v", h, again, err)
		}
		r := newMessageReader(bytes.NewReader(in[handshakeLength:]), int(pieces), fast)
		var m message
		for end := len(in); r.next(&m) == nil; end-- {
			if end == 0 {
				t.Fatal("more messages than bytes")
			}
			if len(m.bits) > (int(pieces)+7)/8 {
				t.Fatalf("a bitfield of %d bytes for %d pieces", len(m.bits), pieces)
			}
			r.ready()
		}
	})
}
