package seeder

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anacrolix/torrent"
)

// A File is where a blob is put together, such as an *os.File on a tmpfs. Its methods are called from several goroutines.
type File interface {
	io.ReaderAt
	io.WriterAt
}

// MaxPeersPerCall bounds the peers that one call of AddPeers considers.
const MaxPeersPerCall = 64

// Progress is how far a download is, in bytes of payload. FromOrigin, FromPeers and FromControl count what was received
// and wanted; together they exceed Have by what is not yet verified or had to be received again.
type Progress struct {
	Have        int64     // verified
	Total       int64     // the blob's size
	Complete    bool      // Have equals Total
	FirstPiece  time.Time // when the first piece was verified; zero before that
	FromOrigin  int64     // received from controllers as peers
	FromPeers   int64     // received from everybody else
	FromControl int64     // delivered by Put
	Uploaded    int64     // sent to others
	Peers       int       // connected now
}

// A Download is a blob on its way into a File, and its seed afterwards. Its methods may be called from any goroutine.
type Download struct {
	client  *Client
	info    Info
	hash    Hash
	file    File
	torrent *torrent.Torrent
	buffers sync.Pool // *[]byte, for hashing

	offset int // the piece that Missing begins with

	fromOrigin, fromPeers, fromControl atomic.Int64
	complete                           chan struct{} // closed when all pieces are verified
	failed                             chan struct{} // closed once failure is set
	watched                            chan struct{} // closed when the progress watch has ended

	mu      sync.Mutex
	have    []bool // verified pieces
	suspect []bool // pieces that came bad at least once
	asked   []int  // by piece: requests to peers that are not answered
	missing int    // pieces that are not verified
	bytes   int64  // verified
	first   time.Time
	failure error
	changed chan struct{} // closed and replaced when a piece is verified

	contacts map[*torrent.PeerConn]*contact
	blocks   int       // that peers sent, wanted or not
	moved    time.Time // when the latest of them came
	nudged   time.Time // when the library was last told to ask idle peers
	shunned  map[netip.Addr]shun
	disputed map[int]struct{} // verified pieces that the library takes for bad

	// writes keeps the bytes of a verified piece from changing: held for reading while a part of a piece is written, and
	// for writing while a whole piece is put there.
	writes [16]sync.RWMutex

	use    sync.RWMutex // held for reading while file is used
	closed bool
}

func newDownload(c *Client, i Info, h Hash, file File) *Download {
	d := &Download{
		client:   c,
		info:     i,
		hash:     h,
		file:     file,
		complete: make(chan struct{}),
		failed:   make(chan struct{}),
		have:     make([]bool, i.Pieces()),
		suspect:  make([]bool, i.Pieces()),
		asked:    make([]int, i.Pieces()),
		missing:  i.Pieces(),
		changed:  make(chan struct{}),
		offset:   rand.IntN(i.Pieces()),
		contacts: make(map[*torrent.PeerConn]*contact),
		moved:    time.Now(),
		shunned:  make(map[netip.Addr]shun),
		disputed: make(map[int]struct{}),
		watched:  make(chan struct{}),
	}
	d.buffers.New = func() any {
		b := make([]byte, 256<<10)
		return &b
	}
	return d
}

// Hash names the download's torrent.
func (d *Download) Hash() Hash { return d.hash }

// AddPeers names peers to fetch from, the origin among them if it may be asked. It is meant to be called again and again
// with what a controller last said: a peer that refused once is otherwise forgotten, one that is connected is left alone.
// One that stalled is left alone for a while, unless there is nobody else. Of a longer list the first MaxPeersPerCall are
// taken. A complete download calls nobody: those who need it call.
func (d *Download) AddPeers(peers []netip.AddrPort) {
	select {
	case <-d.complete:
		return
	default:
	}
	connected := d.connectedTo()
	self := d.client.Addr()
	var add, last []torrent.PeerInfo
	for _, p := range peers[:min(len(peers), MaxPeersPerCall)] {
		p = netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
		if !p.Addr().Is4() || p.Port() == 0 || p == self || connected[p] || !d.client.allow(p.Addr()) {
			continue
		}
		// A controller vouches for the origin by its certificate, so one bad piece, damaged on its way, does not end our
		// dealings with it. Anybody else is banned.
		info := torrent.PeerInfo{Addr: p, Source: torrent.PeerSourceDirect, Trusted: d.client.isOrigin(p.Addr())}
		if d.shuns(p.Addr(), time.Now()) {
			last = append(last, info)
		} else {
			add = append(add, info)
		}
	}
	if len(add) == 0 && len(connected) == 0 {
		d.forgive()
		add = last
	}
	if len(add) > 0 {
		d.torrent.AddPeers(add)
	}
}

// HangUp ends the connections to all peers, so that the next AddPeers starts anew. It is for a download that has not moved
// for a while: a peer that rejected a request may never be asked again on the same connection.
func (d *Download) HangUp() { d.client.hangUp(d.torrent) }

func (d *Download) connectedTo() map[netip.AddrPort]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	to := make(map[netip.AddrPort]bool, len(d.contacts))
	for _, c := range d.contacts {
		to[c.addr] = true
	}
	return to
}

// Progress returns how far the download is.
func (d *Download) Progress() Progress {
	sent := uploaded(d.torrent)
	d.mu.Lock()
	defer d.mu.Unlock()
	return Progress{
		Have:        d.bytes,
		Total:       d.info.Size,
		Complete:    d.missing == 0,
		FirstPiece:  d.first,
		FromOrigin:  d.fromOrigin.Load(),
		FromPeers:   d.fromPeers.Load(),
		FromControl: d.fromControl.Load(),
		Uploaded:    sent,
		Peers:       len(d.contacts),
	}
}

// Wait returns nil when every piece has been verified, the reason if the file cannot be written, ErrDropped if the torrent
// was dropped or the client closed first, or ctx's error. The download goes on, or goes on seeding, whatever it returns.
func (d *Download) Wait(ctx context.Context) error {
	var err error
	select {
	case <-d.complete:
	case <-d.failed:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.missing == 0 {
		return nil
	}
	if d.failure != nil {
		err = d.failure
	}
	return fmt.Errorf("fetching blob %s: %w", d.info.Digest.Short(), err)
}

// reason returns why the download failed.
func (d *Download) reason() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failure
}

// fail ends Wait with err. Only the first call has an effect.
func (d *Download) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failure == nil {
		d.failure = err
		close(d.failed)
	}
}
