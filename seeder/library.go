package seeder

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
	"golang.org/x/time/rate"
)

// What a client asks for and allows.
const (
	// chunkLength is the length of one request. Four times the usual one halves the cost of a byte; others, who ask and are
	// asked for 16 KiB, take part as well.
	chunkLength = 64 << 10
	// maxAskedOfOthers bounds the requests that wait for a client that is not ours: 128 parts, which is fewer than any lets
	// wait (BEP 10 has 250 for one that says nothing), and 2 MiB that may have to be put together.
	maxAskedOfOthers = 32
	// maxRequest is the longest request that is answered, the most that is read ahead for one peer, and the burst of an
	// upload limit. No program asks for more than 128 KiB; with 24 peers it is 6 MiB in all.
	maxRequest = 256 << 10
	// defaultMaxPeers leaves room for peers that call beside the ten that a hand-out names.
	defaultMaxPeers = 24
)

// library returns the settings of the BitTorrent library: a private swarm on one fast network, whose peers are all told
// to it. See DESIGN.md for those that are not obvious.
func (c *Client) library() *torrent.ClientConfig {
	l := torrent.NewDefaultClientConfig()
	l.Slogger = slog.New(quiet{c.logger.Handler()})
	l.Seed = true
	l.Bep20 = clientID
	l.UploadRateLimiter = c.upload
	l.DownloadRateLimiter = nil
	l.MaxUnverifiedBytes = 0
	l.MaxAllocPeerRequestDataPerConn = maxRequest
	l.DefaultStorage = noStorage{}

	l.DisableTrackers = true
	l.NoDHT = true
	l.PeriodicallyAnnounceTorrentsToDht = false
	l.DisablePEX = true
	l.DisableUTP = true
	l.DisableIPv6 = true
	l.DisableWebtorrent = true
	l.DisableWebseeds = true
	l.NoDefaultPortForwarding = true
	l.LocalServiceDiscovery = nil
	l.DisableTCP = true // the library opens no socket: it is given a listener and a dialer

	l.EstablishedConnsPerTorrent = c.maxPeers
	l.HalfOpenConnsPerTorrent = 25
	l.TotalHalfOpenConns = 1000
	l.DialRateLimiter = rate.NewLimiter(200, 50)
	l.NominalDialTimeout = 3 * time.Second
	l.MinDialTimeout = time.Second
	l.HandshakesTimeout = 3 * time.Second
	l.KeepAliveTimeout = 2 * time.Second
	l.DropDuplicatePeerIds = true
	l.DropMutuallyCompletePeers = true
	l.HeaderObfuscationPolicy = torrent.HeaderObfuscationPolicy{Preferred: false, RequirePreferred: true}

	c.events(l)
	return l
}

// noStorage stands where the library would otherwise keep torrents in files of its own. Every torrent brings its own.
type noStorage struct{}

// OpenTorrent always fails.
func (noStorage) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{}, errors.New("a torrent without storage was added")
}
