package seeder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
	peerproto "github.com/anacrolix/torrent/peer_protocol"
	"golang.org/x/time/rate"

	"github.com/samara-hpc/samara/fleet"
)

// Sentinels of Client's methods.
var (
	ErrClosed  = errors.New("the swarm client is closed")
	ErrKnown   = errors.New("the torrent is already in this client")
	ErrDropped = errors.New("the torrent was dropped")
)

// A Config says how a Client meets its peers.
type Config struct {
	// Listen is the IPv4 address and TCP port for peers. Calls to peers leave from this address too, unless it is 0.0.0.0.
	// Port 0 takes any free port, which Client.Addr names.
	Listen netip.AddrPort
	// Origins are the controllers' addresses, by which bytes are accounted for. SetOrigins replaces them.
	Origins []netip.Addr
	// UploadLimit is in bytes per second, 0 for no limit. SetUploadLimit replaces it.
	UploadLimit int64
	// MaxPeers bounds the connections for each torrent; 0 means 24.
	MaxPeers int
	// Allow says who may take part: nobody else is called, and calls of others are hung up on. It is called from several
	// goroutines, for every call; nil means anybody.
	Allow func(netip.Addr) bool
	// DialOnly opens no port: the client calls peers, and serves them on those connections, but nobody can call it.
	DialOnly bool
	// Logger receives what an operator should know; nil means nothing is logged.
	Logger *slog.Logger
}

// A Client is one process's place in all swarms it takes part in. Its methods may be called from any goroutine.
type Client struct {
	logger   *slog.Logger
	listener *listener // nil if the client only calls
	allow    func(netip.Addr) bool
	faults   faults
	client   *torrent.Client
	upload   *rate.Limiter
	closed   chan struct{}
	close    func()
	origins  atomic.Pointer[[]netip.Addr]
	maxPeers int
	hanging  sync.Mutex // held by hangUp

	mu       sync.Mutex // never held while the library is called, which calls back under its own lock
	torrents map[Hash]*entry
	paused   bool
}

// An entry is one torrent of a Client.
type entry struct {
	torrent  *torrent.Torrent // nil until the library has it
	download *Download
}

// Open opens the port for peers and returns a client without torrents. The caller must call Run or Close.
func Open(c Config) (*Client, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if !c.Listen.Addr().Is4() {
		return nil, fmt.Errorf("swarm address %s: only IPv4 is supported: choose an IPv4 address, or 0.0.0.0 for all", c.Listen)
	}
	if c.MaxPeers <= 0 {
		c.MaxPeers = defaultMaxPeers
	}
	if c.Allow == nil {
		c.Allow = func(netip.Addr) bool { return true }
	}
	cl := &Client{
		logger:   c.Logger,
		maxPeers: c.MaxPeers,
		allow:    c.Allow,
		upload:   rate.NewLimiter(limitOf(c.UploadLimit), maxRequest),
		closed:   make(chan struct{}),
		torrents: make(map[Hash]*entry),
	}
	cl.SetOrigins(c.Origins)
	var err error
	if !c.DialOnly {
		if cl.listener, err = listen(c.Listen, cl); err != nil {
			return nil, err
		}
	}
	if cl.client, err = torrent.NewClient(cl.library()); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the swarm client: %w", err), cl.stopListening())
	}
	cl.client.AddDialer(newDialer(c.Listen.Addr(), cl))
	if cl.listener != nil {
		cl.client.AddListener(cl.listener)
	}
	cl.close = sync.OnceFunc(func() {
		close(cl.closed)
		for _, h := range cl.hashes() {
			_ = cl.Drop(h) // known only to a racing Drop, which does the same
		}
		cl.client.Close() // it returns no errors but those of a storage that it made itself
		_ = cl.stopListening()
	})
	return cl, nil
}

func (c *Client) stopListening() error {
	if c.listener == nil {
		return nil
	}
	return c.listener.Close()
}

// Run serves peers until ctx ends, then closes the client and returns nil.
func (c *Client) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		c.Close()
		return nil
	case <-c.closed:
		return ErrClosed
	}
}

// Close drops all torrents, ends all connections and frees the port. It may be called again.
func (c *Client) Close() { c.close() }

// Addr returns the address that peers reach this client at, or the zero value if it only calls.
func (c *Client) Addr() netip.AddrPort {
	if c.listener == nil {
		return netip.AddrPort{}
	}
	a, _ := netip.ParseAddrPort(c.listener.Addr().String()) // a TCP listener's address always parses
	return a
}

// SetUploadLimit changes the upload limit of all torrents together, in bytes per second; 0 means none.
func (c *Client) SetUploadLimit(bytesPerSecond int64) { c.upload.SetLimit(limitOf(bytesPerSecond)) }

// Pause ends all uploads, or lets them begin again. While they are paused peers are told to ask others, and downloads go on.
func (c *Client) Pause(paused bool) {
	c.mu.Lock()
	c.paused = paused
	var entries []*entry
	for _, e := range c.torrents {
		if e.torrent != nil {
			entries = append(entries, e)
		}
	}
	c.mu.Unlock()
	for _, e := range entries {
		c.pause(e, paused)
	}
}

// pause chokes the peers of one torrent, or serves them again. Being choked, a peer asks for nothing more, but goes on
// waiting for what it has asked for: so those who wait are hung up on.
func (c *Client) pause(e *entry, paused bool) {
	if !paused {
		e.torrent.AllowDataUpload()
		return
	}
	e.torrent.DisallowDataUpload()
	for _, p := range e.download.waiting(time.Now()) {
		_ = p.Close() // it always returns nil
	}
}

// Faults returns what peers did wrong, the latest first: for each kind of fault the 64 peers that did it last.
func (c *Client) Faults() []Fault {
	c.noteBanned()
	return c.faults.list()
}

func limitOf(bytesPerSecond int64) rate.Limit {
	if bytesPerSecond <= 0 {
		return rate.Inf
	}
	return rate.Limit(bytesPerSecond)
}

// SetOrigins replaces the addresses whose bytes count as the origin's. What was counted stays counted.
func (c *Client) SetOrigins(addrs []netip.Addr) {
	own := slices.Clone(addrs)
	c.origins.Store(&own)
}

func (c *Client) isOrigin(a netip.Addr) bool { return slices.Contains(*c.origins.Load(), a) }

// banned returns the addresses of peers that sent bad pieces. This client no longer speaks to them.
func (c *Client) banned() []netip.Addr {
	var addrs []netip.Addr
	for _, text := range c.client.BadPeerIPs() {
		if a, err := netip.ParseAddr(text); err == nil {
			addrs = append(addrs, a.Unmap())
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs
}

// noteBanned counts the bans that the library has imposed for bad pieces.
func (c *Client) noteBanned() {
	for _, a := range c.banned() {
		c.faults.once(a, fleet.FaultCorrupt)
	}
}

// hangUp ends all connections of a torrent.
func (c *Client) hangUp(t *torrent.Torrent) {
	c.hanging.Lock()
	defer c.hanging.Unlock()
	t.SetMaxEstablishedConns(0)
	t.SetMaxEstablishedConns(c.maxPeers)
}

// Fetch starts to download the blob that info describes into file, at offset 0, and to offer what has been verified of
// it. Until Drop or Close return, file must stay open; once a piece is complete, its bytes are not written again. The caller
// names peers by Download.AddPeers. The error is ErrInfo, also if info describes another blob, ErrKnown or ErrClosed.
func (c *Client) Fetch(info []byte, blob fleet.Blob, file File) (*Download, error) {
	i, err := parseInfoOf(info, blob)
	if err != nil {
		return nil, fmt.Errorf("fetching: %w", err)
	}
	d := newDownload(c, i, InfoHash(info), file)
	if err := c.add(info, d); err != nil {
		return nil, fmt.Errorf("fetching blob %s: %w", i.Digest.Short(), err)
	}
	return d, nil
}

// add puts a download into the library, and into c before that, since the library calls back at once.
func (c *Client) add(info []byte, d *Download) error {
	h, e := InfoHash(info), &entry{download: d}
	c.mu.Lock()
	select {
	case <-c.closed:
		c.mu.Unlock()
		return ErrClosed
	default:
	}
	if c.torrents[h] != nil {
		c.mu.Unlock()
		return ErrKnown
	}
	c.torrents[h] = e
	paused := c.paused
	c.mu.Unlock()

	t, _, err := c.client.AddTorrentSpec(&torrent.TorrentSpec{AddTorrentOpts: torrent.AddTorrentOpts{
		InfoHash: metainfo.Hash(h), InfoBytes: bencode.Bytes(info), Storage: d, ChunkSize: peerproto.Integer(chunkLength),
		DisallowDataUpload: paused,
	}})
	c.mu.Lock()
	changed := paused != c.paused // by a Pause that did not see the torrent
	select {
	case <-c.closed: // Close did not see the torrent
		err = errors.Join(err, ErrClosed)
	default:
	}
	if err != nil {
		delete(c.torrents, h)
	} else {
		e.torrent = t
		d.begin(t)
	}
	c.mu.Unlock()
	if err != nil {
		t.Drop() // which may be called again
		return err
	}
	if changed {
		c.pause(e, !paused)
	}
	t.DownloadAll()
	return nil
}

// Drop takes a torrent out of the client. After it returns its file is no longer used. The error is ErrDropped
// if there is no such torrent.
func (c *Client) Drop(h Hash) error {
	c.mu.Lock()
	e := c.torrents[h]
	if e == nil || e.torrent == nil {
		c.mu.Unlock()
		return fmt.Errorf("dropping torrent %s: %w", h, ErrDropped)
	}
	delete(c.torrents, h)
	c.mu.Unlock()
	e.download.fail(ErrDropped)
	<-e.download.watched
	e.torrent.Drop()
	return nil
}

// torrent returns the library's torrent, or nil if it is not in the client.
func (c *Client) torrent(h Hash) *torrent.Torrent {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.torrents[h]; e != nil {
		return e.torrent
	}
	return nil
}

func uploaded(t *torrent.Torrent) int64 {
	stats := t.Stats()
	return stats.BytesWrittenData.Int64()
}

// downloads returns the downloads in the client, complete ones too, in no order.
func (c *Client) downloads() []*Download {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ds []*Download
	for _, e := range c.torrents {
		ds = append(ds, e.download)
	}
	return ds
}

// shuns reports whether a download leaves an address alone now.
func (c *Client) shuns(addr netip.Addr) bool {
	now := time.Now()
	return slices.ContainsFunc(c.downloads(), func(d *Download) bool { return d.shuns(addr, now) })
}

// hashes returns the torrents in the client, in no order.
func (c *Client) hashes() []Hash {
	c.mu.Lock()
	defer c.mu.Unlock()
	hs := make([]Hash, 0, len(c.torrents))
	for h := range c.torrents {
		hs = append(hs, h)
	}
	return hs
}
