package seeder

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
)

// A splitter stands between the library and a peer that is not ours: the library asks for chunkLength at once, the peer is
// asked for partLength. Everything else passes as it is. It takes over a connection once both have sent their handshake.
// One goroutine may read while another writes.
type splitter struct {
	conn net.Conn

	mu    sync.Mutex // not held while conn is used
	parts *parts

	in      *messageReader // Read's: what the peer says
	ready   []byte         // of which this comes next
	passing int            // and then so many bytes as they are

	begun  []byte // Write's: of a message whose kind is not known yet
	behind int    // what is to come of one that passes
}

// newSplitter returns a splitter for a peer who sent a handshake. Ours always offers BEP 6.
func newSplitter(conn net.Conn, peer handshake) *splitter {
	return &splitter{
		conn:  conn,
		parts: newParts(peer.fast, !isOldTransmission(peer.id)),
		in:    &messageReader{in: bufio.NewReaderSize(conn, 2*partLength)},
	}
}

// isOldTransmission reports whether a client is one of Transmission before 4.0, which does not reject what is cancelled,
// and of which the library knows that.
func isOldTransmission(id peerID) bool {
	return strings.HasPrefix(string(id[:]), "-TR") && id[7] == '-' && id[3] < '4'
}

// Read returns what the library is to hear.
func (s *splitter) Read(b []byte) (int, error) {
	for len(s.ready) == 0 && s.passing == 0 {
		if err := s.hear(); err != nil {
			return 0, err
		}
	}
	if len(s.ready) > 0 {
		n := copy(b, s.ready)
		if s.ready = s.ready[n:]; len(s.ready) == 0 {
			s.ready = nil
		}
		return n, nil
	}
	n, err := s.in.in.Read(b[:min(len(b), s.passing)])
	s.passing -= n
	return n, cutShort(err)
}

// hear reads a message, or finds that it is to pass.
func (s *splitter) hear() error {
	head, err := s.in.peek(4)
	if err != nil {
		return err
	}
	length := int(binary.BigEndian.Uint32(head))
	if length == 0 {
		s.passing = 4
		return nil
	}
	if head, err = s.in.peek(5); err != nil {
		return err
	}
	switch kind := messageKind(head[4]); {
	case kind == msgPiece:
		return s.hearPiece(length + 4 - pieceHeader)
	case kind == msgReject && s.parts.fast:
		return s.hearReject(length)
	case kind == msgChoke || kind == msgUnchoke:
		s.mu.Lock()
		s.parts.choke(kind == msgChoke)
		s.mu.Unlock()
	}
	s.passing = 4 + length
	return nil
}

// hearPiece reads a part of so many bytes. It is read to where it belongs.
func (s *splitter) hearPiece(length int) error {
	if length < 0 || length > partLength {
		return malformed("a block of %d bytes", length)
	}
	head, err := s.in.peek(pieceHeader)
	if err != nil {
		return err
	}
	part := request{binary.BigEndian.Uint32(head[5:]), binary.BigEndian.Uint32(head[9:]), uint32(length)}
	if err := s.in.skip(pieceHeader); err != nil {
		return err
	}
	s.mu.Lock()
	w, err := s.parts.answered(part)
	room := w.room(part)
	s.mu.Unlock()
	switch {
	case err != nil:
		return err
	case room == nil:
		err = s.in.skip(length)
	default:
		_, err = io.ReadFull(s.in.in, room)
	}
	if err != nil {
		return cutShort(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = s.parts.filled(w, part)
	return nil
}

// hearReject reads that a part will not come.
func (s *splitter) hearReject(length int) error {
	if length != 1+3*4 {
		return malformed("a rejection of %d bytes", length)
	}
	all, err := s.in.peek(4 + length)
	if err != nil {
		return err
	}
	part := requestIn(all)
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.parts.answered(part)
	if err != nil {
		return err
	}
	s.ready = s.parts.rejected(w, part)
	return s.in.skip(4 + length)
}

// requestIn returns the numbers of a REQUEST, CANCEL or REJECT.
func requestIn(message []byte) request {
	n := message[5:]
	return request{binary.BigEndian.Uint32(n), binary.BigEndian.Uint32(n[4:]), binary.BigEndian.Uint32(n[8:])}
}

// Write sends what the library says.
func (s *splitter) Write(b []byte) (int, error) {
	out, err := s.split(b)
	if err != nil {
		return 0, err
	}
	if _, err := out.WriteTo(s.conn); err != nil {
		return 0, err
	}
	return len(b), nil
}

// split returns what the peer is sent for what the library says. What passes is not copied.
func (s *splitter) split(b []byte) (net.Buffers, error) {
	if len(s.begun) > 0 {
		b = append(s.begun, b...)
		s.begun = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out net.Buffers
	passed := min(s.behind, len(b)) // of b, from where out ends to here
	s.behind -= passed
	for passed < len(b) {
		rest := b[passed:]
		length, known := messageLength(rest)
		if !known {
			s.begun = slices.Clone(rest)
			break
		}
		if length != requestLength || rest[4] != byte(msgRequest) && rest[4] != byte(msgCancel) {
			n := min(length, len(rest))
			s.behind = length - n
			passed += n
			continue
		}
		inParts, err := s.inParts(rest)
		if err != nil {
			return nil, err
		}
		if passed > 0 || len(out) == 0 {
			out = append(out, b[:passed], nil)
		}
		out[len(out)-1] = append(out[len(out)-1], inParts...)
		b, passed = rest[requestLength:], 0
	}
	out = append(out, b[:passed])
	return slices.DeleteFunc(out, func(b []byte) bool { return len(b) == 0 }), nil
}

// requestLength is the length of a REQUEST or CANCEL, in bytes.
const requestLength = 4 + 1 + 3*4

// messageLength returns the length of the message that b begins with. It reports whether b tells, and all of b is there if it
// may be a REQUEST.
func messageLength(b []byte) (int, bool) {
	if len(b) < 4 {
		return 0, false
	}
	length := 4 + int(binary.BigEndian.Uint32(b))
	return length, length != requestLength || len(b) >= requestLength
}

// inParts returns a REQUEST or CANCEL as the peer is sent it. The caller holds s.mu.
func (s *splitter) inParts(message []byte) (sent []byte, err error) {
	kind, r := messageKind(message[4]), requestIn(message)
	var parts []request
	if kind == msgCancel {
		parts = s.parts.cancel(r)
	} else if parts, err = s.parts.ask(r); err != nil {
		return nil, err
	}
	for _, part := range parts {
		sent = appendMessage(sent, kind, part.index, part.begin, part.length)
	}
	return sent, nil
}
