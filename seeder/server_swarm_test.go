package seeder

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/samara-hpc/samara/seeder/handout"
)

// most is how many images an origin may send while all nodes are well.
const most = 1.15

// A crowd is nodes of one swarm that know each other and its origins.
func crowd(t *testing.T, from byte, n int, info, blob []byte, origins ...netip.AddrPort) []node {
	t.Helper()
	_, ref := testInfo(t, blob)
	nodes := make([]node, n)
	addrs := append([]netip.AddrPort{}, origins...)
	for i := range nodes {
		nodes[i] = fetch(t, from+byte(i), info, ref)
		addrs = append(addrs, nodes[i].Addr())
	}
	for _, n := range nodes {
		feed(t, n.Download, addrs...)
	}
	return nodes
}

func TestASwarmCostsItsOriginOneImage(t *testing.T) {
	blob := testBlob(24<<20 + 12345)
	info, _ := testInfo(t, blob)
	s := offering(t, 1, info, onDisk(t, blob), ServerConfig{})
	for _, n := range crowd(t, 2, 8, info, blob, s.Addr()) {
		n.mustComplete(t, blob)
		if banned := n.banned(); len(banned) != 0 {
			t.Errorf("%s banned %v", n.Addr(), banned)
		}
	}
	got := statsOf(t, s, info)
	if got.ratio() < 1 || got.ratio() > most || got.Unsent != 0 {
		t.Errorf("the origin sent %.2f images: %+v", got.ratio(), got)
	}
	if faults := s.Faults(); len(faults) != 0 {
		t.Errorf("faults: %v", faults)
	}
}

// TestASwarmGoesOnAroundBadPeers has one peer of each kind beside six sound ones. None of them may hold the others up for
// long, nor cost the origin much more than what they took.
func TestASwarmGoesOnAroundBadPeers(t *testing.T) {
	for name, play := range map[string]func(t *testing.T, s *Server, info []byte){
		"frozen": func(t *testing.T, s *Server, info []byte) {
			enter(t, s, 30, info, appendMessage(nil, msgHaveNone)...) // and nothing more, whatever it is shown
		},
		"killed": func(t *testing.T, s *Server, info []byte) {
			g := enter(t, s, 30, info, appendMessage(nil, msgHaveNone)...)
			g.until(t, msgHave)
			g.say(t, appendMessage(nil, msgRequest, 0, 0, 1<<16))
			_ = g.SetLinger(0)
			_ = g.Close()
		},
		"lying": func(t *testing.T, s *Server, info []byte) {
			enter(t, s, 30, info, appendMessage(nil, msgHaveAll)...)
		},
		"choking": func(t *testing.T, s *Server, info []byte) {
			g := enter(t, s, 30, info, append(appendMessage(nil, msgHaveNone), appendMessage(nil, msgChoke)...)...)
			g.until(t, msgHave)
			g.say(t, appendMessage(nil, msgRequest, 0, 0, 1<<16))
			g.until(t, msgPiece)
		},
		"deaf": func(t *testing.T, s *Server, info []byte) {
			g := enter(t, s, 30, info, appendMessage(nil, msgHaveNone)...)
			g.until(t, msgHave)
			for begin := uint32(0); begin < 1<<18; begin += 1 << 14 {
				g.say(t, appendMessage(nil, msgRequest, 0, begin, 1<<14)) // and reads no block
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blob := testBlob(12 << 20)
			info, _ := testInfo(t, blob)
			s := openServer(t, 1, ServerConfig{})
			s.starving = 2 * time.Second // ten would do as well, and take that long
			if err := s.Offer(info, onDisk(t, blob)); err != nil {
				t.Fatal(err)
			}
			play(t, s, info)
			for _, n := range crowd(t, 2, 6, info, blob, s.Addr()) {
				n.mustComplete(t, blob)
			}
			if got := statsOf(t, s, info); got.ratio() > most+1 {
				t.Errorf("the origin sent %.2f images: %+v", got.ratio(), got)
			}
		})
	}
}

func TestTwoOriginsShareAndOneIsEnough(t *testing.T) {
	blob := testBlob(16 << 20)
	info, _ := testInfo(t, blob)
	sum := func(a, b *Server) int64 { return statsOf(t, a, info).Sent + statsOf(t, b, info).Sent }
	pair := func(t *testing.T, limit int64) (a, b *Server) {
		a, b = openServer(t, 1, ServerConfig{UploadLimit: limit}), openServer(t, 20, ServerConfig{UploadLimit: limit})
		for n, s := range []*Server{a, b} {
			s.starving = 2 * time.Second
			if err := s.Offer(info, onDisk(t, blob)); err != nil {
				t.Fatal(err)
			}
			s.Share(InfoHash(info), n, 2)
		}
		return a, b
	}
	t.Run("both live", func(t *testing.T) {
		a, b := pair(t, 0)
		for _, n := range crowd(t, 2, 4, info, blob, a.Addr(), b.Addr()) {
			n.mustComplete(t, blob)
		}
		if total := sum(a, b); total < int64(len(blob)) || float64(total) > most*float64(len(blob)) {
			t.Errorf("the two sent %d and %d bytes of %d", statsOf(t, a, info).Sent, statsOf(t, b, info).Sent, len(blob))
		}
		for _, s := range []*Server{a, b} {
			if got := statsOf(t, s, info); got.ratio() < 0.3 {
				t.Errorf("one of the two sent only %.2f images", got.ratio())
			}
		}
	})
	t.Run("one dies", func(t *testing.T) {
		a, b := pair(t, 4<<20)
		nodes := crowd(t, 2, 4, info, blob, a.Addr(), b.Addr())
		eventually(t, func() bool { return statsOf(t, b, info).Sent > 2<<20 }, func() string { return fmt.Sprint(statsOf(t, b, info)) })
		b.Close()
		a.Share(InfoHash(info), 0, 1) // as the other controllers find out in seconds
		a.SetUploadLimit(0)
		for _, n := range nodes {
			n.mustComplete(t, blob)
		}
	})
}

// TestFetchersAtServersPortsTrade has two fetch at once what a third offers, as controllers do that copy an image: each
// calls the others' ports, where its own server offers nothing yet.
func TestFetchersAtServersPortsTrade(t *testing.T) {
	blob := testBlob(12 << 20)
	info, ref := testInfo(t, blob)
	source := offering(t, 1, info, onDisk(t, blob), ServerConfig{})
	addrs := []netip.AddrPort{source.Addr()}
	var nodes []node
	for host := byte(2); host < 5; host++ {
		s := newServer(t, host, ServerConfig{})
		c, err := Open(Config{Listen: netip.AddrPortFrom(s.Addr().Addr(), 0), DialOnly: true, Origins: []netip.Addr{originAddr}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		s.PassOn(c)
		running(t, s)
		f, err := os.Create(filepath.Join(t.TempDir(), "blob"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		d, err := c.Fetch(info, ref, f)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, node{c, d, f})
		addrs = append(addrs, s.Addr())
	}
	for _, n := range nodes {
		feed(t, n.Download, addrs...)
	}
	for _, n := range nodes {
		n.mustComplete(t, blob)
	}
	if got := statsOf(t, source, info); got.ratio() > most {
		t.Errorf("the first sent %.2f images", got.ratio())
	}
}

func TestAria2DownloadsFromTheServerThroughTheTracker(t *testing.T) {
	aria2, err := exec.LookPath("aria2c")
	if err != nil {
		t.Fatalf("%v: apt-get install aria2", err)
	}
	blob := testBlob(3<<20 + 1)
	info, ref := testInfo(t, blob)
	s := offering(t, 1, info, onDisk(t, blob), ServerConfig{})
	tracker := httptest.NewServer(NewTracker(TrackerConfig{Members: func(h Hash) []handout.Member {
		if h != InfoHash(info) {
			return nil
		}
		return []handout.Member{{Name: "c1", Addr: s.Addr(), Holding: handout.HoldsAll, Alive: true, Origin: true}}
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
	if faults := s.Faults(); len(faults) != 0 {
		t.Errorf("faults: %v", faults)
	}
}
