package seeder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
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

func TestSwarmOutlivesItsOrigin(t *testing.T) {
	blob := testBlob(4 << 20)
	info, ref := testInfo(t, blob)
	origin := offering(t, 1, info, bytes.NewReader(blob), ServerConfig{})
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
	holder := offering(t, 2, info, bytes.NewReader(blob), ServerConfig{})
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
	origin := offering(t, 1, info, bytes.NewReader(blob), ServerConfig{})
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
	n := fetch(t, 1, info, ref)
	c := n.Client
	if _, err := c.Fetch(info, ref, n.file); !errors.Is(err, ErrKnown) {
		t.Errorf("fetching twice: got error %v, want ErrKnown", err)
	}
	if _, err := c.Fetch([]byte("de"), ref, n.file); !errors.Is(err, ErrInfo) {
		t.Errorf("a bad info: got error %v, want ErrInfo", err)
	}
	if err := c.Drop(n.Hash()); err != nil {
		t.Error(err)
	}
	if err := c.Drop(n.Hash()); !errors.Is(err, ErrDropped) {
		t.Errorf("dropping twice: got error %v, want ErrDropped", err)
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
	if _, err := c.Fetch(info, ref, n.file); !errors.Is(err, ErrClosed) {
		t.Errorf("fetching after Close: got error %v, want ErrClosed", err)
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
	giver := holder(t, 3, info, blob)
	giver.SetUploadLimit(1) // a byte per second, once the burst is used up
	n := fetch(t, 2, info, ref)
	feed(t, n.Download, giver.Addr())
	eventually(t, func() bool { return giver.Progress().Uploaded == maxRequest }, func() string { return fmt.Sprint(giver.Progress()) })
	giver.SetUploadLimit(0)
	n.mustComplete(t, blob)
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

func TestHangUpStartsAnew(t *testing.T) {
	blob := testBlob(3 << 20) // more than the burst, so that the connection lasts
	info, ref := testInfo(t, blob)
	origin := offering(t, 1, info, bytes.NewReader(blob), ServerConfig{UploadLimit: 1})
	n := fetch(t, 2, info, ref)
	feed(t, n.Download, origin.Addr())
	eventually(t, func() bool { return n.connectedTo()[origin.Addr()] }, func() string { return "no connection" })
	n.HangUp()
	origin.SetUploadLimit(0)
	n.mustComplete(t, blob)
}
