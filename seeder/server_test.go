package seeder

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// newServer returns a server at 127.0.0.host that does not run yet.
func newServer(t *testing.T, host byte, c ServerConfig) *Server {
	t.Helper()
	c.Listen = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, host}), 0)
	s, err := OpenServer(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// running runs a server until the test ends.
func running(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// openServer returns a server at 127.0.0.host that runs until the test ends.
func openServer(t *testing.T, host byte, c ServerConfig) *Server {
	t.Helper()
	s := newServer(t, host, c)
	running(t, s)
	return s
}

// offering returns a server that offers a blob.
func offering(t *testing.T, host byte, info []byte, blob io.ReaderAt, c ServerConfig) *Server {
	t.Helper()
	s := openServer(t, host, c)
	if err := s.Offer(info, blob); err != nil {
		t.Fatal(err)
	}
	return s
}

func statsOf(t *testing.T, s *Server, info []byte) OriginStats {
	t.Helper()
	stats, ok := s.Stats(InfoHash(info))
	if !ok {
		t.Fatal("the blob is not on offer")
	}
	return stats
}

// ratio returns what was sent in blobs: 1 is each byte once.
func (s OriginStats) ratio() float64 { return float64(s.Sent) / float64(s.Size) }

// A guest is a peer that speaks the protocol by hand.
type guest struct {
	*net.TCPConn
	in *bufio.Reader
}

// visit calls a server from 127.0.0.host and sends first. It returns what is then read.
func visit(t *testing.T, s *Server, host byte, first []byte) guest {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}}
	c, err := d.DialContext(t.Context(), "tcp4", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(first); err != nil {
		t.Fatal(err)
	}
	return guest{c.(*net.TCPConn), bufio.NewReader(c)}
}

// enter is visit with a handshake of both sides.
func enter(t *testing.T, s *Server, host byte, info []byte, say ...byte) guest {
	t.Helper()
	hello := handshake{fast: true, extended: true, hash: InfoHash(info), id: peerID{host, 1}}
	g := visit(t, s, host, append(hello.encode(), say...))
	got, _, err := readHandshake(g.in)
	if err != nil || got.hash != hello.hash || !got.fast || !got.extended {
		t.Fatalf("got handshake %+v, %v", got, err)
	}
	return g
}

// message returns the next message that is no keep-alive, without its length.
func (g guest) message(t *testing.T) []byte {
	t.Helper()
	for {
		var length [4]byte
		if _, err := io.ReadFull(g.in, length[:]); err != nil {
			t.Fatal(err)
		}
		if n := binary.BigEndian.Uint32(length[:]); n > 0 {
			body := make([]byte, n)
			if _, err := io.ReadFull(g.in, body); err != nil {
				t.Fatal(err)
			}
			return body
		}
	}
}

// until returns the next message of a kind.
func (g guest) until(t *testing.T, kind messageKind) []byte {
	t.Helper()
	for {
		if m := g.message(t); m[0] == byte(kind) {
			return m
		}
	}
}

func (g guest) say(t *testing.T, b []byte) {
	t.Helper()
	if _, err := g.Write(b); err != nil {
		t.Fatal(err)
	}
}

// mustBeHungUpOn reads until the end.
func (g guest) mustBeHungUpOn(t *testing.T) {
	t.Helper()
	_, err := io.Copy(io.Discard, g.in)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("nobody has hung up")
	}
}

func TestServerSpeaksTheProtocol(t *testing.T) {
	blob := testBlob(1<<20 + 5)
	info, _ := testInfo(t, blob)
	s := offering(t, 1, info, bytes.NewReader(blob), ServerConfig{})
	g := enter(t, s, 2, info, appendMessage(nil, msgHaveNone)...)
	for _, want := range []messageKind{msgHaveNone, msgExtended, msgUnchoke, msgHave} {
		m := g.message(t)
		if messageKind(m[0]) != want {
			t.Fatalf("got a message of kind %d, want %d", m[0], want)
		}
		if want == msgExtended && (!bytes.Contains(m, []byte("4:reqq")) || !bytes.Contains(m, []byte(clientVersion)) || bytes.Contains(m, []byte("ut_"))) {
			t.Errorf("the extended handshake is %q", m)
		}
	}
	// What was not shown is rejected, what was shown is sent.
	g.say(t, appendMessage(nil, msgRequest, 3, 0, 1<<14))
	if m := g.until(t, msgReject); !bytes.Equal(m, appendMessage(nil, msgReject, 3, 0, 1<<14)[4:]) {
		t.Errorf("got %v", m)
	}
	g.say(t, appendMessage(nil, msgRequest, 0, 1<<14, 100<<10))
	if m := g.until(t, msgPiece); !bytes.Equal(m[9:], blob[1<<14:1<<14+100<<10]) || !bytes.Equal(m[:9], []byte{7, 0, 0, 0, 0, 0, 0, 0x40, 0}) {
		t.Errorf("got a wrong block of %d bytes, %v", len(m), m[:9])
	}
	eventually(t, func() bool { return statsOf(t, s, info).Sent == 100<<10 }, func() string { return fmt.Sprintf("%+v", statsOf(t, s, info)) })
	if got := statsOf(t, s, info); got.Peers != 1 || got.Size != int64(len(blob)) || got.Unsent != 5 {
		t.Errorf("got %+v", got)
	}
	if faults := s.Faults(); len(faults) != 0 {
		t.Errorf("faults: %v", faults)
	}
}

func TestServerHangsUpOnWhoeverBreaksTheProtocol(t *testing.T) {
	blob := testBlob(1 << 20)
	info, _ := testInfo(t, blob)
	s := offering(t, 1, info, bytes.NewReader(blob), ServerConfig{})
	host := byte(2)
	for name, say := range map[string][]byte{
		"an oversized message":      {0xff, 0xff, 0xff, 0xff, 20},
		"a bitfield of other size":  raw(msgBitfield, 0, 0),
		"a spare bit":               raw(msgBitfield, 0x08),
		"a piece that is not there": appendMessage(nil, msgHave, 4),
		"a huge request":            appendMessage(nil, msgRequest, 0, 0, 1<<20),
		"a request past the end":    appendMessage(nil, msgRequest, 0, 1<<18-1, 2),
		"a piece":                   appendMessage(nil, msgPiece, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			host++
			hello := handshake{fast: true, hash: InfoHash(info), id: peerID{host}}
			visit(t, s, host, append(hello.encode(), say...)).mustBeHungUpOn(t)
			at := netip.AddrFrom4([4]byte{127, 0, 0, host})
			eventually(t, func() bool { return faultOf(s, at) == fleet.FaultProtocol }, func() string { return fmt.Sprint(s.Faults()) })
		})
	}
}

func faultOf(s *Server, peer netip.Addr) fleet.PeerFault {
	for _, f := range s.Faults() {
		if f.Peer == peer {
			return f.Kind
		}
	}
	return ""
}

func TestServerHangsUpOnWhomItCannotServe(t *testing.T) {
	blob := testBlob(1 << 20)
	info, _ := testInfo(t, blob)
	s := newServer(t, 1, ServerConfig{})
	s.patience = 50 * time.Millisecond
	running(t, s)
	if err := s.Offer(info, bytes.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	for name, first := range map[string][]byte{
		"another torrent":       handshake{hash: Hash{1}, id: peerID{1}}.encode(),
		"itself":                handshake{hash: InfoHash(info), id: s.id}.encode(),
		"an obfuscated call":    testBlob(96),
		"nothing":               nil,
		"a part of a handshake": []byte(protocolName),
	} {
		t.Run(name, func(t *testing.T) {
			g := visit(t, s, 2, first)
			if got, err := io.ReadAll(g.in); len(got) != 0 || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if faults := s.Faults(); len(faults) != 0 {
		t.Errorf("faults: %v", faults)
	}
}

func TestServerAnswersMembersOnly(t *testing.T) {
	blob := testBlob(1 << 20)
	info, _ := testInfo(t, blob)
	member, stranger := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")
	s := offering(t, 1, info, bytes.NewReader(blob), ServerConfig{Allow: func(a netip.Addr) bool { return a == member }})
	enter(t, s, 2, info)
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(stranger, 0))}
	if c, err := d.DialContext(t.Context(), "tcp4", s.Addr().String()); err == nil { // otherwise it is refused already
		defer c.Close()
		if got, err := io.ReadAll(c); len(got) != 0 {
			t.Errorf("a stranger got %q, %v", got, err)
		}
	}
	eventually(t, func() bool { return faultOf(s, stranger) == fleet.FaultStranger }, func() string { return fmt.Sprint(s.Faults()) })
}

func TestTheNewerConnectionOfAPeerWins(t *testing.T) {
	blob := testBlob(1 << 20)
	info, _ := testInfo(t, blob)
	s := offering(t, 1, info, bytes.NewReader(blob), ServerConfig{})
	old := enter(t, s, 2, info)
	fresh := enter(t, s, 2, info)
	old.mustBeHungUpOn(t)
	fresh.say(t, appendMessage(nil, msgHaveNone))
	fresh.until(t, msgHave)
	if got := statsOf(t, s, info); got.Peers != 1 {
		t.Errorf("got %d peers, want 1", got.Peers)
	}
}

func TestPeersOfAnImageAreBounded(t *testing.T) {
	blob := testBlob(1 << 20)
	info, _ := testInfo(t, blob)
	s := offering(t, 1, info, bytes.NewReader(blob), ServerConfig{MaxPeers: 2})
	enter(t, s, 2, info)
	enter(t, s, 3, info)
	third := visit(t, s, 4, handshake{hash: InfoHash(info), id: peerID{4}}.encode())
	if got, err := io.ReadAll(third.in); len(got) != 0 {
		t.Errorf("a third peer got %q, %v", got, err)
	}
}

func TestServerCancelsWhatHasNotBegunToLeave(t *testing.T) {
	blob := testBlob(8 << 20)
	info, _ := testInfo(t, blob)
	s := offering(t, 1, info, bytes.NewReader(blob), ServerConfig{UploadLimit: 1}) // a byte per second after the burst
	g := enter(t, s, 2, info, appendMessage(nil, msgHaveNone)...)
	for piece := range uint32(2) {
		// A second piece is shown once something of the first was sent.
		if m := g.until(t, msgHave); binary.BigEndian.Uint32(m[1:]) != piece {
			t.Fatalf("shown %v, want piece %d", m, piece)
		}
		for begin := uint32(0); begin < 1<<18; begin += 1 << 16 {
			g.say(t, appendMessage(nil, msgRequest, piece, begin, 1<<16))
		}
	}
	// The burst and one turn are half of it and a quarter. The last block waits behind them.
	g.say(t, appendMessage(nil, msgCancel, 1, 3<<16, 1<<16))
	if m := g.until(t, msgReject); !bytes.Equal(m, appendMessage(nil, msgReject, 1, 3<<16, 1<<16)[4:]) {
		t.Errorf("got %v", m)
	}
}

// A guarded blob fails a test that reads it once it may no longer be read.
type guarded struct {
	t      *testing.T
	blob   *bytes.Reader
	closed atomic.Bool
}

func (g *guarded) ReadAt(b []byte, off int64) (int, error) {
	if g.closed.Load() {
		g.t.Error("a blob was read after it was withdrawn")
	}
	return g.blob.ReadAt(b, off)
}

func TestABlobIsNotUsedOnceItWasWithdrawn(t *testing.T) {
	blob := testBlob(8 << 20)
	info, ref := testInfo(t, blob)
	held := &guarded{t: t, blob: bytes.NewReader(blob)}
	s := offering(t, 1, info, held, ServerConfig{UploadLimit: 1 << 20})
	n := fetch(t, 2, info, ref)
	feed(t, n.Download, s.Addr())
	eventually(t, func() bool { return n.Progress().Have > 0 }, func() string { return fmt.Sprint(n.Progress()) })
	if stats, ok := s.Withdraw(InfoHash(info)); !ok || stats.Sent == 0 {
		t.Errorf("got %+v, %v", stats, ok)
	}
	held.closed.Store(true)
	if _, ok := s.Stats(InfoHash(info)); ok {
		t.Error("a blob that was withdrawn is on offer")
	}
	if _, again := s.Withdraw(InfoHash(info)); again {
		t.Error("a blob was withdrawn twice")
	}
	// It may be offered anew.
	s.SetUploadLimit(0)
	if err := s.Offer(info, bytes.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	n.mustComplete(t, blob)
}

func TestServerNeverSendsWhatItCannotVouchFor(t *testing.T) {
	blob := testBlob(2<<20 + 77)
	info, ref := testInfo(t, blob)
	for name, bad := range map[string]damaged{
		"a flipped byte": {blob: blob, at: 1<<20 + 5},
		"a read error":   {blob: blob, at: 1<<20 + 5, err: errors.New("blobs/ab: checksum of block 9 is wrong: delete the file")},
	} {
		t.Run(name, func(t *testing.T) {
			log := new(tally)
			broken := offering(t, 1, info, bad, ServerConfig{Logger: slog.New(slog.NewTextHandler(log, nil))})
			n := fetch(t, 2, info, ref)
			feed(t, n.Download, broken.Addr())
			good := int64(len(blob)) - 256<<10
			eventually(t, func() bool { return n.Progress().Have == good }, func() string { return fmt.Sprint(n.Progress()) })
			if lines := log.with("ERROR"); len(lines) != 1 || !strings.Contains(lines[0], "piece=4") ||
				bad.err != nil && !strings.Contains(lines[0], bad.err.Error()) {
				t.Errorf("the origin says %q, want one line that names the piece and the reason", lines)
			}
			if p := n.Progress(); p.Complete || p.FromOrigin != good {
				t.Errorf("got %+v, want %d bytes from the origin", p, good)
			}
			// A sound holder completes it.
			sound := offering(t, 3, info, bytes.NewReader(blob), ServerConfig{})
			feed(t, n.Download, sound.Addr())
			if p := n.mustComplete(t, blob); p.FromPeers != 256<<10 {
				t.Errorf("got %d bytes from the sound holder, want one piece", p.FromPeers)
			}
		})
	}
}

func TestWhatIsDoubtedIsCheckedAgain(t *testing.T) {
	blob := testBlob(1 << 20)
	info, ref := testInfo(t, blob)
	file := onDisk(t, blob)
	s := offering(t, 1, info, file, ServerConfig{})
	fetchAll := func(host byte) node {
		n := fetch(t, host, info, ref)
		feed(t, n.Download, s.Addr())
		return n
	}
	first := fetchAll(2)
	first.mustComplete(t, blob)
	first.Client.Close()
	spoil(t, file)
	s.Doubt(InfoHash(info))
	n := fetchAll(3)
	good := int64(len(blob)) - 256<<10
	eventually(t, func() bool { return n.Progress().Have == good }, func() string { return fmt.Sprint(n.Progress()) })
	if banned := n.banned(); len(banned) != 0 {
		t.Errorf("banned: %v", banned)
	}
}

// spoil changes the first byte of a blob's file.
func spoil(t *testing.T, f fileBlob) {
	t.Helper()
	var b [1]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if err := writeAt(f.file.Name(), b[:], 0); err != nil {
		t.Fatal(err)
	}
}

func TestServerRefuses(t *testing.T) {
	blob := testBlob(100)
	info, _ := testInfo(t, blob)
	s := offering(t, 1, info, bytes.NewReader(blob), ServerConfig{})
	if err := s.Offer(info, bytes.NewReader(blob)); !errors.Is(err, ErrKnown) {
		t.Errorf("offering twice: got %v, want %v", err, ErrKnown)
	}
	if err := s.Offer([]byte("de"), nil); !errors.Is(err, ErrInfo) {
		t.Errorf("a bad info: got %v, want %v", err, ErrInfo)
	}
	for listen, want := range map[string]string{
		s.Addr().String(): "is in use", "192.0.2.1:7602": "not an address of this machine", "[::1]:7602": "only IPv4",
	} {
		if _, err := OpenServer(ServerConfig{Listen: netip.MustParseAddrPort(listen)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", listen, err, want)
		}
	}
	s.Share(Hash{1}, 0, 1)
	s.Doubt(Hash{1})
	s.Close()
	if err := s.Offer(info, bytes.NewReader(blob)); !errors.Is(err, ErrClosed) {
		t.Errorf("offering after Close: got %v, want %v", err, ErrClosed)
	}
	again, err := OpenServer(ServerConfig{Listen: s.Addr()})
	if err != nil {
		t.Fatalf("the port is not free after Close: %v", err)
	}
	again.Close()
}

func TestAnUploadLimitIsForAllImagesTogether(t *testing.T) {
	s := openServer(t, 1, ServerConfig{UploadLimit: 1}) // a byte per second, once the burst is used up
	var blobs [2][]byte
	var nodes [2]node
	var infos [2][]byte
	for n := range blobs {
		blobs[n] = testBlob(1<<20 + n)
		info, ref := testInfo(t, blobs[n])
		infos[n] = info
		if err := s.Offer(info, bytes.NewReader(blobs[n])); err != nil {
			t.Fatal(err)
		}
		nodes[n] = fetch(t, byte(2+n), info, ref)
		feed(t, nodes[n].Download, s.Addr())
	}
	sent := func() int64 { return statsOf(t, s, infos[0]).Sent + statsOf(t, s, infos[1]).Sent }
	eventually(t, func() bool { return sent() > uploadBurst-turnLength }, func() string { return fmt.Sprint("sent: ", sent()) })
	if got := sent(); got > uploadBurst {
		t.Errorf("%d bytes were sent, more than the burst of %d", got, uploadBurst)
	}
	s.SetUploadLimit(0)
	for n, node := range nodes {
		node.mustComplete(t, blobs[n])
	}
}

// TestServerSurvivesAnything sends noise after the handshake, from many at once, while the blob comes and goes.
func TestServerSurvivesAnything(t *testing.T) {
	blob := testBlob(1 << 20)
	info, _ := testInfo(t, blob)
	s := offering(t, 1, info, bytes.NewReader(blob), ServerConfig{})
	var callers sync.WaitGroup
	for n := range 24 {
		callers.Go(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+n))}}
			c, err := d.Dial("tcp4", s.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			hello := handshake{fast: n%2 == 0, extended: n%3 == 0, hash: InfoHash(info), id: peerID{byte(n)}}
			_, _ = c.Write(append(hello.encode(), testBlob(500+n)...))
			_ = c.SetReadDeadline(time.Now().Add(time.Second / 5))
			_, _ = io.Copy(io.Discard, c)
		})
	}
	for range 5 {
		s.Withdraw(InfoHash(info))
		if err := s.Offer(info, bytes.NewReader(blob)); err != nil {
			t.Error(err)
		}
	}
	callers.Wait()
	enter(t, s, 2, info)
}

// writeAt changes bytes of a file.
func writeAt(name string, b []byte, off int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, off)
	return errors.Join(err, f.Close())
}
