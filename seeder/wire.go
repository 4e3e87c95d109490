package seeder

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// The protocol between peers, as far as somebody needs it who only sends: BEP 3 with the Fast extension (BEP 6) and the
// extension protocol (BEP 10).

// errMalformed is in every error about bytes that the protocol does not allow.
var errMalformed = errors.New("the protocol of peers is violated")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

// A peerID is what a peer calls itself.
type peerID [20]byte

// The handshake: the protocol's name, eight bytes of extensions, the info hash, the peer's id.
const (
	protocolName    = "\x13BitTorrent protocol"
	handshakeLength = len(protocolName) + 8 + len(Hash{}) + len(peerID{})

	extendedByte, extendedBit = 5, 0x10
	fastByte, fastBit         = 7, 0x04
)

// A handshake is the first thing that two peers tell each other.
type handshake struct {
	extended, fast bool // BEP 10, BEP 6
	hash           Hash
	id             peerID
}

func (h handshake) encode() []byte {
	b := make([]byte, handshakeLength)
	rest := b[copy(b, protocolName):]
	if h.extended {
		rest[extendedByte] |= extendedBit
	}
	if h.fast {
		rest[fastByte] |= fastBit
	}
	rest = rest[8:]
	copy(rest[copy(rest, h.hash[:]):], h.id[:])
	return b
}

// readHandshake reads a handshake, and returns its bytes too. It reads no further than the name if that is another one,
// as it is of a peer that begins by obfuscating what it says.
func readHandshake(r io.Reader) (h handshake, raw []byte, err error) {
	raw = make([]byte, handshakeLength)
	if _, err := io.ReadFull(r, raw[:len(protocolName)]); err != nil {
		return h, nil, fmt.Errorf("reading the protocol's name: %w", err)
	}
	if string(raw[:len(protocolName)]) != protocolName {
		return h, nil, malformed("a call that begins with %q", raw[:len(protocolName)])
	}
	rest := raw[len(protocolName):]
	if _, err := io.ReadFull(r, rest); err != nil {
		return h, nil, fmt.Errorf("reading the handshake: %w", err)
	}
	h.extended, h.fast = rest[extendedByte]&extendedBit != 0, rest[fastByte]&fastBit != 0
	rest = rest[8:]
	copy(h.id[:], rest[copy(h.hash[:], rest):])
	return h, raw, nil
}

// A messageKind is the number of a message's kind.
type messageKind byte

// The kinds of BEP 3, 5 (port), 6 (from suggest to allowed-fast) and 10 (extended). The last two are no numbers of the
// protocol.
const (
	msgChoke         messageKind = 0
	msgUnchoke       messageKind = 1
	msgInterested    messageKind = 2
	msgNotInterested messageKind = 3
	msgHave          messageKind = 4
	msgBitfield      messageKind = 5
	msgRequest       messageKind = 6
	msgPiece         messageKind = 7
	msgCancel        messageKind = 8
	msgPort          messageKind = 9
	msgSuggest       messageKind = 13
	msgHaveAll       messageKind = 14
	msgHaveNone      messageKind = 15
	msgReject        messageKind = 16
	msgAllowedFast   messageKind = 17
	msgExtended      messageKind = 20

	msgUnknown   messageKind = 254
	msgKeepAlive messageKind = 255
)

// maxMessage bounds a message whose length its kind does not say, in bytes. An extended handshake has some hundreds.
const maxMessage = 16 << 10

// A message is one of a peer's. Its numbers are set as far as its kind has them.
type message struct {
	kind                 messageKind
	index, begin, length uint32
	bits                 []byte // of a bitfield; the reader uses them again for the next one
}

// A messageReader reads a peer's messages after the handshake.
type messageReader struct {
	in       *bufio.Reader
	fast     bool   // both sides know BEP 6
	bitfield []byte // as long as a bitfield of this torrent is
}

// newMessageReader reads from r the messages about a torrent of some pieces.
func newMessageReader(r io.Reader, pieces int, fast bool) *messageReader {
	return &messageReader{in: bufio.NewReaderSize(r, 4<<10), fast: fast, bitfield: make([]byte, (pieces+7)/8)}
}

// next reads a message. What nobody needs who only sends is read over, and has kind msgUnknown.
func (r *messageReader) next(m *message) error {
	head, err := r.peek(4)
	if err != nil {
		return err
	}
	length := binary.BigEndian.Uint32(head)
	if length == 0 {
		*m = message{kind: msgKeepAlive}
		return r.skip(4)
	}
	if head, err = r.peek(5); err != nil {
		return err
	}
	*m = message{kind: messageKind(head[4])}
	body := length - 1
	known, err := r.check(m.kind, body)
	switch {
	case err != nil:
		return err
	case !known:
		m.kind = msgUnknown
		return r.skip(5 + int(body))
	case m.kind == msgBitfield:
		m.bits = r.bitfield
		if err := r.skip(5); err != nil {
			return err
		}
		_, err := io.ReadFull(r.in, m.bits)
		return cutShort(err)
	}
	all, err := r.peek(5 + int(body))
	if err != nil {
		return err
	}
	for _, n := range []*uint32{&m.index, &m.begin, &m.length}[:body/4] {
		*n = binary.BigEndian.Uint32(all[5:])
		all = all[4:]
	}
	return r.skip(5 + int(body))
}

// check says whether a message of a kind may have that many bytes after its kind, and whether next reads its numbers.
func (r *messageReader) check(kind messageKind, body uint32) (known bool, err error) {
	want := uint32(0)
	known = true
	switch kind {
	case msgChoke, msgUnchoke, msgInterested, msgNotInterested:
	case msgHave:
		want = 4
	case msgBitfield:
		want = uint32(len(r.bitfield))
	case msgRequest, msgCancel:
		want = 12
	case msgHaveAll, msgHaveNone:
	case msgPiece:
		return false, malformed("a piece that nobody asked for")
	default:
		if body >= maxMessage {
			return false, malformed("a message of kind %d with %d bytes", kind, body)
		}
		return false, nil
	}
	switch {
	case body != want:
		return false, malformed("a message of kind %d with %d bytes instead of %d", kind, body, want)
	case !r.fast && (kind == msgHaveAll || kind == msgHaveNone):
		return false, malformed("a message of kind %d without the Fast extension", kind)
	}
	return known, nil
}

// ready reports whether next can read a short message without waiting.
func (r *messageReader) ready() bool {
	n := r.in.Buffered()
	if n < 4 {
		return false
	}
	head, err := r.in.Peek(4)
	return err == nil && binary.BigEndian.Uint32(head) <= uint32(n-4)
}

func (r *messageReader) peek(n int) ([]byte, error) {
	b, err := r.in.Peek(n)
	if len(b) > 0 {
		err = cutShort(err)
	}
	return b, err
}

func (r *messageReader) skip(n int) error {
	_, err := r.in.Discard(n)
	return cutShort(err)
}

// cutShort says of the end of a connection within a message what it is.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendMessage appends a message with numbers after its kind.
func appendMessage(b []byte, kind messageKind, numbers ...uint32) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(1+4*len(numbers)))
	b = append(b, byte(kind))
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

// pieceHeader is the length of what precedes a block in its message.
const pieceHeader = 4 + 1 + 4 + 4

// appendPieceHeader appends what precedes a block of length bytes.
func appendPieceHeader(b []byte, index, begin, length uint32) []byte {
	b = binary.BigEndian.AppendUint32(b, pieceHeader-4+length)
	b = append(b, byte(msgPiece))
	b = binary.BigEndian.AppendUint32(b, index)
	return binary.BigEndian.AppendUint32(b, begin)
}

// extendedHandshake is what BEP 10 has a peer say of itself: that it knows no extension, how many requests it keeps
// waiting, and what program it is.
func extendedHandshake(requests int, version string) []byte {
	dictionary := "d1:mde4:reqqi" + strconv.Itoa(requests) + "e1:v" + bencoded(version) + "e"
	b := binary.BigEndian.AppendUint32(nil, uint32(2+len(dictionary)))
	b = append(b, byte(msgExtended), 0)
	return append(b, dictionary...)
}
