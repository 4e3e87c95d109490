package peer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"

	"github.com/samara-hpc/samara/fleet"
)

// StockPort is where stock clients listen for each other.
const StockPort = 7681

// tellEvery is how often progress is told.
const tellEvery = 250 * time.Millisecond

// nameEvery is how often a stock client is named all others again: the library forgets one whose dial failed once.
const nameEvery = 2 * time.Second

// stockSettings are the library's own, but for what needs the internet, and Seed: without it a client gives others next to
// nothing that they have not given it. What is known to help a stock swarm is done for it: every client knows every
// other from the start and is told again and again, the pieces are as small as Samara's, and uTP, which is slow in this
// library, is off.
func stockSettings(c Config) *torrent.ClientConfig {
	s := torrent.NewDefaultClientConfig()
	s.Seed = true
	s.DataDir = c.Dir
	s.Slogger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	s.ListenHost = func(string) string { return c.Address.String() }
	s.ListenPort = StockPort
	s.DisableIPv6 = true
	s.DisableUTP = true
	s.DisableTrackers = true
	s.NoDHT = true
	s.PeriodicallyAnnounceTorrentsToDht = false
	s.NoDefaultPortForwarding = true
	s.LocalServiceDiscovery = nil
	return s
}

// openStock starts the library and gives it the torrent.
func openStock(c Config) (*torrent.Client, *torrent.Torrent, error) {
	info, err := os.ReadFile(c.Torrent)
	if err != nil {
		return nil, nil, err
	}
	client, err := torrent.NewClient(stockSettings(c))
	if err != nil {
		return nil, nil, err
	}
	t, _, err := client.AddTorrentSpec(&torrent.TorrentSpec{AddTorrentOpts: torrent.AddTorrentOpts{
		InfoHash: metainfo.HashBytes(info), InfoBytes: bencode.Bytes(info),
	}})
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, t, nil
}

func runStockOrigin(ctx context.Context, c Config, say *teller) error {
	client, t, err := openStock(c)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := t.VerifyDataContext(ctx); err != nil {
		return err
	}
	if have := t.BytesCompleted(); have != c.Image.Size {
		return fmt.Errorf("it has %d of %d bytes", have, c.Image.Size)
	}
	if err := say.ready(ctx); err != nil {
		return err
	}
	return every(ctx, tellEvery, func() {
		say.tell(stockProgress(t))
	})
}

func runStock(ctx context.Context, c Config, say *teller) error {
	if err := say.ready(ctx); err != nil {
		return err
	}
	client, t, err := openStock(c)
	if err != nil {
		return err
	}
	defer client.Close()
	var peers []torrent.PeerInfo
	for _, a := range append([]netip.AddrPort{c.Origins[0]}, without(c.Others, c.Address)...) {
		peers = append(peers, torrent.PeerInfo{Addr: a, Source: torrent.PeerSourceDirect})
	}
	t.AddPeers(peers)
	t.DownloadAll()
	naming, stop := context.WithCancel(ctx)
	defer stop()
	go func() { _ = every(naming, nameEvery, func() { t.AddPeers(peers) }) }()
	go func() { _ = every(naming, tellEvery, func() { say.tell(stockProgress(t)) }) }()
	select {
	case <-t.Complete().On():
	case <-ctx.Done():
		return ctx.Err()
	}
	whole := stockProgress(t)
	whole.Kind = Whole
	say.tell(whole)
	if err := prove(c.Image, filepath.Join(c.Dir, c.Image.Digest.String())); err != nil {
		return err
	}
	say.tell(Event{Kind: Proved})
	<-ctx.Done()
	return nil
}

func stockProgress(t *torrent.Torrent) Event {
	s := t.Stats()
	return Event{Kind: Progress, Have: t.BytesCompleted(), FromPeers: s.BytesReadUsefulData.Int64(), Uploaded: s.BytesWrittenData.Int64()}
}

// every calls do at an interval until ctx ends, and returns its error.
func every(ctx context.Context, interval time.Duration, do func()) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			do()
		}
	}
}

// prove reads a file and compares it with a blob.
func prove(want fleet.Blob, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := newSum()
	n, err := io.Copy(sum, f)
	if err != nil {
		return err
	}
	return sum.check(want, n)
}
