package seeder

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
	peerproto "github.com/anacrolix/torrent/peer_protocol"
	"github.com/anacrolix/torrent/storage"
	"golang.org/x/time/rate"
)

// openOther returns a client with the library's own settings, which asks for parts and answers no longer requests. It listens
// at 127.0.0.host, and keeps blobs in a directory.
func openOther(t *testing.T, host byte, dir string, fast bool) *torrent.Client {
	t.Helper()
	s := torrent.NewDefaultClientConfig()
	s.Slogger = slog.New(slog.DiscardHandler)
	s.Bep20 = "-XX0001-"
	s.DefaultStorage = storage.NewFileWithCompletion(dir, storage.NewMapPieceCompletion())
	s.Seed = true
	s.ListenHost = func(string) string { return netip.AddrFrom4([4]byte{127, 0, 0, host}).String() }
	s.ListenPort = 0
	s.NoDHT, s.DisableTrackers, s.DisablePEX, s.DisableUTP, s.DisableIPv6, s.NoDefaultPortForwarding = true, true, true, true, true, true
	s.HeaderObfuscationPolicy = torrent.HeaderObfuscationPolicy{RequirePreferred: true}
	s.UploadRateLimiter = rate.NewLimiter(1<<30, partLength) // its burst is the longest request that it answers
	s.Extensions.SetBit(peerproto.ExtensionBitFast, fast)
	c, err := torrent.NewClient(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestClientsOfOthersGiveAndTakeInParts(t *testing.T) {
	blob := testBlob(5<<20 + 20001)
	info, ref := testInfo(t, blob)
	parsed, err := ParseInfo(info)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		host byte
		fast bool
	}{"fast": {10, true}, "plain": {20, false}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, ref.Digest.String()), blob, 0o600); err != nil {
				t.Fatal(err)
			}
			join := func(client *torrent.Client) *torrent.Torrent {
				tor, _, err := client.AddTorrentSpec(&torrent.TorrentSpec{AddTorrentOpts: torrent.AddTorrentOpts{
					InfoHash: metainfo.Hash(InfoHash(info)), InfoBytes: bencode.Bytes(info)}})
				if err != nil {
					t.Fatal(err)
				}
				tor.DownloadAll()
				return tor
			}
			giver := openOther(t, c.host, dir, c.fast)
			given := join(giver)
			eventually(t, func() bool { return given.BytesMissing() == 0 }, func() string { return "the giver misses bytes" })
			n := fetch(t, c.host+1, info, ref)
			feed(t, n.Download, giver.ListenAddrs()[0].(interface{ AddrPort() netip.AddrPort }).AddrPort())
			n.mustComplete(t, blob)

			taker := join(openOther(t, c.host+2, t.TempDir(), c.fast))
			eventually(t, func() bool {
				taker.AddPeers([]torrent.PeerInfo{{Addr: n.Addr()}})
				return taker.BytesMissing() == 0
			}, func() string { return "the taker misses bytes" })
			if faults := n.Faults(); len(faults) > 0 {
				t.Errorf("got faults %v, want none", faults)
			}
			if sent := given.Stats().BytesWrittenData; sent.Int64() < parsed.Size {
				t.Errorf("the giver sent %d bytes, want %d at least", sent.Int64(), parsed.Size)
			}
		})
	}
}

func TestOthersAreAskedForLittleAtOnce(t *testing.T) {
	c := openClient(t, 2, nil)
	for _, tc := range []struct {
		id         string
		says, want int
	}{{clientID, 1000, 1000}, {"-LT2000-", 2000, maxAskedOfOthers}, {"-XX0001-", 64, 16}, {"-XX0001-", 1, 1}, {"-XX0001-", 0, 0}} {
		p := new(torrent.PeerConn)
		copy(p.PeerID[:], tc.id)
		m := peerproto.ExtendedHandshakeMessage{Reqq: tc.says}
		c.introduced(p, &m)
		if m.Reqq != tc.want {
			t.Errorf("%q lets %d requests wait: got %d of ours, want %d", tc.id, tc.says, m.Reqq, tc.want)
		}
	}
}
