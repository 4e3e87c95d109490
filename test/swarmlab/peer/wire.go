package peer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/samara-hpc/samara/seeder"
)

// Messages of the protocol, by their numbers (BEP 3, BEP 6, BEP 10).
const (
	msgUnchoke    = 1
	msgInterested = 2
	msgRequest    = 6
	msgPiece      = 7
	msgHaveAll    = 14
	msgReject     = 16
	msgExtended   = 20
)

// Bounds of what is said and heard by hand.
const (
	helloLength = 68
	maxBody     = 1 << 20          // of a message that is heard
	writeBound  = 10 * time.Second // for one who does not read
)

// A wire is a connection on which the protocol is spoken by hand.
type wire struct {
	net.Conn
	in *bufio.Reader
}

func newWire(c net.Conn) *wire { return &wire{c, bufio.NewReader(c)} }

// hello returns a handshake of one at an address that knows BEP 6 and BEP 10, and calls itself a client of ours.
func hello(hash seeder.Hash, self netip.Addr) []byte {
	b := append([]byte("\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x04"), hash[:]...)
	return append(b, ("-GT0003-" + self.String() + "............")[:20]...)
}

// greet says hello, and waits for the other's.
func (w *wire) greet(hash seeder.Hash, self netip.Addr) error {
	if _, err := w.Write(hello(hash, self)); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, w.in, helloLength)
	return err
}

// next reads a message without its length; it is empty for a keep-alive.
func (w *wire) next() ([]byte, error) {
	var n uint32
	if err := binary.Read(w.in, binary.BigEndian, &n); err != nil {
		return nil, err
	}
	if n > maxBody {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(w.in, body)
	return body, err
}

// Write writes, but does not wait forever for one who does not read.
func (w *wire) Write(b []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(writeBound)); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}

// say sends a message.
func (w *wire) say(kind byte, payload []byte, numbers ...uint32) error {
	_, err := w.Write(message(kind, payload, numbers...))
	return err
}

// message returns a message's bytes.
func message(kind byte, payload []byte, numbers ...uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(1+4*len(numbers)+len(payload)))
	b = append(b, kind)
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return append(b, payload...)
}

// A want is a request for a block.
type want struct{ index, begin, length uint32 }

// parseWant reads a request. It returns false for any other message.
func parseWant(body []byte) (want, bool) {
	if len(body) != 13 || body[0] != msgRequest {
		return want{}, false
	}
	n := binary.BigEndian.Uint32
	return want{n(body[1:]), n(body[5:]), n(body[9:])}, true
}

// block returns the true bytes of a block.
func (w want) block(blob io.ReaderAt, info seeder.Info) ([]byte, error) {
	if w.length == 0 || w.length > maxBody {
		return nil, errors.New("asked for no block")
	}
	b := make([]byte, w.length)
	_, err := blob.ReadAt(b, int64(w.index)*info.PieceLength+int64(w.begin))
	return b, err
}

// announceQuery returns the path and query of an announce to a tracker, of one who wants everything and is told of as many
// as possible. What it says of its address is in more.
func announceQuery(hash seeder.Hash, port uint16, left int64, more string) string {
	id := "-GT0003-announcing..."
	return fmt.Sprintf("/announce?info_hash=%s&peer_id=%s&port=%d&left=%d&numwant=50&compact=1&event=started%s", escaped(hash[:]), id[:20], port, left, more)
}

// escaped writes bytes as a query has them.
func escaped(b []byte) string {
	var out []byte
	for _, c := range b {
		out = fmt.Appendf(out, "%%%02x", c)
	}
	return string(out)
}
