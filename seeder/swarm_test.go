package seeder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder/handout"
)

// patience is how long a test waits for what must happen; a loaded machine needs a fraction of it.
const patience = 40 * time.Second

var originAddr = netip.MustParseAddr("127.0.0.1")

// openClient returns a client at 127.0.0.host, closed when the test ends.
func openClient(t *testing.T, host byte, logger *slog.Logger) *Client {
	t.Helper()
	return openWith(t, Config{
		Listen:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, host}), 0),
		Origins: []netip.Addr{originAddr},
		Logger:  logger,
	})
}

func openWith(t *testing.T, config Config) *Client {
	t.Helper()
	c, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A node is a client with one download.
type node struct {
	*Client
	*Download
	file *os.File
}

func fetch(t *testing.T, host byte, info []byte, ref fleet.Blob) node {
	t.Helper()
	return fetchBy(t, openClient(t, host, nil), info, ref)
}

func fetchWith(t *testing.T, config Config, info []byte, ref fleet.Blob) node {
	t.Helper()
	return fetchBy(t, openWith(t, config), info, ref)
}

func fetchBy(t *testing.T, c *Client, info []byte, ref fleet.Blob) node {
	t.Helper()
	f := tempFile(t)
	d, err := c.Fetch(info, ref, f)
	if err != nil {
		t.Fatal(err)
	}
	return node{c, d, f}
}

// tempFile returns an empty file that is gone when the test ends.
func tempFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "blob"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// feed keeps naming peers to a download until the test ends, as an agent does.
func feed(t *testing.T, d *Download, peers ...netip.AddrPort) {
	t.Helper()
	stop := make(chan struct{})
	done := make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	d.AddPeers(peers)
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				d.AddPeers(peers)
			}
		}
	}()
}

func (n node) mustComplete(t *testing.T, blob []byte) Progress {
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
	p := n.Progress()
	if !p.Complete || p.Have != int64(len(blob)) || p.Total != p.Have || p.FirstPiece.IsZero() {
		t.Errorf("progress of a complete download: %+v", p)
	}
	if p.FromOrigin+p.FromPeers != p.Have {
		t.Errorf("%d bytes from the origin and %d from peers do not add up to %d", p.FromOrigin, p.FromPeers, p.Have)
	}
	return p
}

func TestSwarmDeliversAndAccounts(t *testing.T) {
	blob := testBlob(12<<20 + 12345)
	info, ref := testInfo(t, blob)
	origin := openClient(t, 1, nil)
	if err := origin.Seed(info, bytes.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	nodes := make([]node, 4)
	addrs := []netip.AddrPort{origin.Addr()}
	for i := range nodes {
		nodes[i] = fetch(t, byte(2+i), info, ref)
		addrs = append(addrs, nodes[i].Addr())
	}
	for _, n := range nodes {
		feed(t, n.Download, addrs...)
	}
	var received, uploaded int64
	for _, n := range nodes {
		p := n.mustComplete(t, blob)
		received += p.FromOrigin
	}
	uploaded = origin.Uploaded(InfoHash(info))
	if uploaded < received || received < int64(len(blob)) {
		t.Errorf("the origin sent %d bytes, the nodes received %d from it, the blob has %d", uploaded, received, len(blob))
	}
	for _, n := range nodes {
		if banned := n.Banned(); len(banned) != 0 {
			t.Errorf("%s banned %v", n.Addr(), banned)
		}
	}
}

func TestSwarmOutlivesItsOrigin(t *testing.T) {
	blob := testBlob(4 << 20)
	info, ref := testInfo(t, blob)
	origin := openClient(t, 1, nil)
	if err := origin.Seed(info, bytes.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	first, second := fetch(t, 2, info, ref), fetch(t, 3, info, ref)
	feed(t, first.Download, origin.Addr(), second.Addr())
	feed(t, second.Download, origin.Addr(), first.Addr())
	first.mustComplete(t, blob)
	second.mustComplete(t, blob)
	dead := origin.Addr()
	origin.Close()

	third := fetch(t, 4, info, ref)
	feed(t, third.Download, dead, first.Addr(), second.Addr())
	if p := third.mustComplete(t, blob); p.FromOrigin != 0 {
		t.Errorf("%d bytes came from a dead origin", p.FromOrigin)
	}
	if sent := first.Progress().Uploaded + second.Progress().Uploaded; sent < int64(len(blob)) {
		t.Errorf("the peers sent %d bytes, less than the blob's %d", sent, len(blob))
	}
}

func TestSwarmNeedsOnlyOneDirection(t *testing.T) {
	blob := testBlob(1 << 20)
	info, ref := testInfo(t, blob)
	holder := openClient(t, 2, nil)
	if err := holder.Seed(info, bytes.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	late := fetch(t, 3, info, ref)
	// The port refuses calls at first, and is forgotten by a client that is told of it once.
	feed(t, late.Download, netip.MustParseAddrPort("127.0.0.9:9"), late.Addr(), holder.Addr(), netip.AddrPort{})
	if p := late.mustComplete(t, blob); p.FromPeers != int64(len(blob)) {
		t.Errorf("got %d bytes from peers, want all %d", p.FromPeers, len(blob))
	}
}

// damaged serves a blob whose byte at an offset has flipped, or, if err is set, cannot be read.
type damaged struct {
	blob []byte
	at   int64
	err  error
}

func (d damaged) ReadAt(b []byte, off int64) (int, error) {
	n, err := bytes.NewReader(d.blob).ReadAt(b, off)
	if i := d.at - off; 0 <= i && i < int64(n) {
		if d.err != nil {
			return 0, d.err
		}
		b[i] ^= 1
	}
	return n, err
}

// A tally is a log that counts its lines.
type tally struct {
	mu    sync.Mutex
	lines []string
}

func (l *tally) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(b))
	return len(b), nil
}

func (l *tally) with(text string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

func TestSwarmNeverDeliversWhatTheOriginCannotRead(t *testing.T) {
	blob := testBlob(2<<20 + 77)
	info, ref := testInfo(t, blob)
	for name, bad := range map[string]damaged{
		"a flipped byte": {blob: blob, at: 1<<20 + 5},
		"a read error":   {blob: blob, at: 1<<20 + 5, err: errors.New("blobs/ab: checksum of block 9 is wrong: delete the file")},
	} {
		t.Run(name, func(t *testing.T) {
			log := new(tally)
			broken := openClient(t, 1, slog.New(slog.NewTextHandler(log, nil)))
			if err := broken.Seed(info, bad); err != nil {
				t.Fatal(err)
			}
			n := fetch(t, 2, info, ref)
			feed(t, n.Download, broken.Addr())
			good := int64(len(blob)) - 256<<10
			eventually(t, func() bool { return n.Progress().Have == good }, func() string { return fmt.Sprint(n.Progress()) })
			eventually(t, func() bool { return len(log.with("ERROR")) > 0 }, func() string { return "the origin says nothing" })
			if lines := log.with("ERROR"); len(lines) != 1 || !strings.Contains(lines[0], "piece=4") ||
				bad.err != nil && !strings.Contains(lines[0], bad.err.Error()) {
				t.Errorf("the origin says %q, want one line that names the piece and the reason", lines)
			}
			if p := n.Progress(); p.Complete || p.FromOrigin != good {
				t.Errorf("got %+v, want %d bytes from the origin", p, good)
			}
			// A sound holder completes it.
			sound := openClient(t, 3, nil)
			if err := sound.Seed(info, bytes.NewReader(blob)); err != nil {
				t.Fatal(err)
			}
			feed(t, n.Download, sound.Addr())
			if p := n.mustComplete(t, blob); p.FromPeers != 256<<10 {
				t.Errorf("got %d bytes from the sound holder, want one piece", p.FromPeers)
			}
		})
	}
}

func eventually(t *testing.T, ok func() bool, state func() string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("it did not come true: %s", state())
		case <-tick.C:
		}
	}
}

// fullFile fails to write once it is full.
type fullFile struct {
	*os.File
	room atomic.Int64
}

func (f *fullFile) WriteAt(b []byte, off int64) (int, error) {
	if f.room.Add(-int64(len(b))) < 0 {
		return 0, errors.New("no space left on device")
	}
	return f.File.WriteAt(b, off)
}

func TestFetchSaysWhenTheFileIsFull(t *testing.T) {
	blob := testBlob(2 << 20)
	info, ref := testInfo(t, blob)
	origin := openClient(t, 1, nil)
	if err := origin.Seed(info, bytes.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "blob"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	full := &fullFile{File: f}
	full.room.Store(1 << 20)
	c := openClient(t, 2, nil)
	d, err := c.Fetch(info, ref, full)
	if err != nil {
		t.Fatal(err)
	}
	feed(t, d, origin.Addr())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.Wait(ctx); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("got error %v, want the file's", err)
	}
}

func TestClientRefusesAndDrops(t *testing.T) {
	blob := testBlob(100)
	info, ref := testInfo(t, blob)
	c := openClient(t, 1, nil)
	if err := c.Seed(info, bytes.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	if err := c.Seed(info, bytes.NewReader(blob)); !errors.Is(err, ErrKnown) {
		t.Errorf("seeding twice: got error %v, want ErrKnown", err)
	}
	if err := c.Seed([]byte("de"), nil); !errors.Is(err, ErrInfo) {
		t.Errorf("a bad info: got error %v, want ErrInfo", err)
	}
	if err := c.Drop(InfoHash(info)); err != nil {
		t.Error(err)
	}
	if err := c.Drop(InfoHash(info)); !errors.Is(err, ErrDropped) {
		t.Errorf("dropping twice: got error %v, want ErrDropped", err)
	}
	n := fetch(t, 2, info, ref)
	if err := n.Client.Drop(n.Hash()); err != nil {
		t.Error(err)
	}
	if err := n.Wait(t.Context()); !errors.Is(err, ErrDropped) {
		t.Errorf("waiting for a dropped download: got error %v, want ErrDropped", err)
	}
	if _, err := Open(Config{Listen: c.Addr()}); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("a port in use: got error %v", err)
	}
	if _, err := Open(Config{Listen: netip.MustParseAddrPort("192.0.2.1:7602")}); err == nil || !strings.Contains(err.Error(), "not an address of this machine") {
		t.Errorf("a foreign address: got error %v", err)
	}
	if _, err := Open(Config{Listen: netip.MustParseAddrPort("[::1]:7602")}); err == nil || !strings.Contains(err.Error(), "only IPv4") {
		t.Errorf("an IPv6 address: got error %v", err)
	}
	addr := c.Addr()
	c.Close()
	if err := c.Seed(info, bytes.NewReader(blob)); !errors.Is(err, ErrClosed) {
		t.Errorf("seeding after Close: got error %v, want ErrClosed", err)
	}
	again, err := Open(Config{Listen: addr})
	if err != nil {
		t.Fatalf("the port is not free after Close: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- again.Run(ctx) }()
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestUploadLimitHolds(t *testing.T) {
	blob := testBlob(3 << 20)
	info, ref := testInfo(t, blob)
	origin := openClient(t, 1, nil)
	origin.SetUploadLimit(1) // a byte per second, once the burst is used up
	if err := origin.Seed(info, bytes.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	n := fetch(t, 2, info, ref)
	feed(t, n.Download, origin.Addr())
	sent := func() int64 { return origin.Uploaded(InfoHash(info)) }
	eventually(t, func() bool { return sent() == maxRequest }, func() string { return fmt.Sprint("sent: ", sent()) })
	origin.SetUploadLimit(0)
	n.mustComplete(t, blob)
}

func TestAria2DownloadsThroughTheTracker(t *testing.T) {
	aria2, err := exec.LookPath("aria2c")
	if err != nil {
		t.Fatalf("%v: apt-get install aria2", err)
	}
	blob := testBlob(3<<20 + 1)
	info, ref := testInfo(t, blob)
	origin := openClient(t, 1, nil)
	if err := origin.Seed(info, bytes.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	tracker := httptest.NewServer(NewTracker(TrackerConfig{Members: func(h Hash) []handout.Member {
		if h != InfoHash(info) {
			return nil
		}
		return []handout.Member{{Name: "c1", Addr: origin.Addr(), Holding: handout.HoldsAll, Alive: true, Origin: true}}
	}}))
	defer tracker.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "image.torrent")
	if err := os.WriteFile(file, TorrentFile(info, []string{tracker.URL + "/announce"}), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, aria2, "--no-conf", "--dir="+dir, "--seed-time=0", "--enable-dht=false", "--enable-dht6=false",
		"--bt-enable-lpd=false", "--enable-peer-exchange=false", "--listen-port="+freePort(t), "--interface=127.0.0.1",
		"--follow-torrent=mem", "--summary-interval=0", "--file-allocation=none", "--no-proxy=*", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	got, err := os.ReadFile(filepath.Join(dir, ref.Digest.String()))
	if err != nil || !bytes.Equal(got, blob) {
		t.Fatalf("aria2c's file differs from the blob (error %v)", err)
	}
}

// freePort returns a TCP port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func TestPeerThatSendsBadPiecesIsBanned(t *testing.T) {
	blob := testBlob(2 << 20)
	info, ref := testInfo(t, blob)
	i, err := ParseInfo(info)
	if err != nil {
		t.Fatal(err)
	}
	liar := openClient(t, 2, nil)
	s := newSeed(i, damaged{blob: blob, at: 5}, slog.New(slog.DiscardHandler), nil)
	for p := range s.state {
		s.state[p].Store(pieceGood) // so it checks nothing before it sends
	}
	if _, err := liar.add(info, &entry{seed: s}, s); err != nil {
		t.Fatal(err)
	}
	n := fetch(t, 3, info, ref)
	feed(t, n.Download, liar.Addr())
	eventually(t, func() bool { return len(n.Banned()) > 0 }, func() string { return "nobody is banned" })
	if got := fmt.Sprint(n.Banned()); got != "[127.0.0.2]" {
		t.Errorf("banned: got %s, want the liar", got)
	}
	honest := openClient(t, 4, nil)
	if err := honest.Seed(info, bytes.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	feed(t, n.Download, liar.Addr(), honest.Addr())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.NewSectionReader(n.file, 0, int64(len(blob))+1))
	if err != nil || !bytes.Equal(got, blob) {
		t.Errorf("the file differs from the blob (error %v)", err)
	}
}

func TestHangUpStartsAnew(t *testing.T) {
	blob := testBlob(3 << 20) // more than the burst, so that the connection lasts
	info, ref := testInfo(t, blob)
	origin := openClient(t, 1, nil)
	origin.SetUploadLimit(1)
	if err := origin.Seed(info, bytes.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	n := fetch(t, 2, info, ref)
	feed(t, n.Download, origin.Addr())
	eventually(t, func() bool { return n.connectedTo()[origin.Addr()] }, func() string { return "no connection" })
	n.HangUp()
	origin.SetUploadLimit(0)
	n.mustComplete(t, blob)
}
