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
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
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

	mu      sync.Mutex
	have    []bool // verified pieces
	suspect []bool // pieces that came bad at least once
	asked   []int  // by piece: requests to peers that are not answered
	missing int    // pieces that are not verified
	bytes   int64  // verified
	first   time.Time
	failure error
	changed chan struct{}                        // closed and replaced when a piece is verified
	peers   map[*torrent.PeerConn]netip.AddrPort // by connection: where that peer listens, as far as is known

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
		peers:    make(map[*torrent.PeerConn]netip.AddrPort),
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
// Of a longer list the first MaxPeersPerCall are taken. A complete download calls nobody: those who need it call.
func (d *Download) AddPeers(peers []netip.AddrPort) {
	select {
	case <-d.complete:
		return
	default:
	}
	connected := d.connectedTo()
	self := d.client.Addr()
	var add []torrent.PeerInfo
	for _, p := range peers[:min(len(peers), MaxPeersPerCall)] {
		p = netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
		if !p.Addr().Is4() || p.Port() == 0 || p == self || connected[p] {
			continue
		}
		// A controller vouches for the origin by its certificate, so one bad piece, damaged on its way, does not end our
		// dealings with it. Anybody else is banned.
		add = append(add, torrent.PeerInfo{Addr: p, Source: torrent.PeerSourceDirect, Trusted: d.client.isOrigin(p.Addr())})
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
	to := make(map[netip.AddrPort]bool, len(d.peers))
	for _, a := range d.peers {
		to[a] = true
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
		Peers:       len(d.peers),
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

func (d *Download) count(from netip.Addr, n int64) {
	if d.client.isOrigin(from) {
		d.fromOrigin.Add(n)
	} else {
		d.fromPeers.Add(n)
	}
}

// request counts a request to a peer, and settled one that was answered, refused or taken back.
func (d *Download) request(piece int) { d.ask(piece, 1) }
func (d *Download) settled(piece int) { d.ask(piece, -1) }

func (d *Download) ask(piece, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[piece] += n
}

func (d *Download) connected(p *torrent.PeerConn, addr netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.peers[p] = addr
}

// listens corrects where a peer can be called, once it has said so. It may say so on a connection that is already closed.
func (d *Download) listens(p *torrent.PeerConn, addr netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.peers[p]; ok {
		d.peers[p] = addr
	}
}

func (d *Download) disconnected(p *torrent.PeerConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.peers, p)
}

// OpenTorrent makes d the storage of its torrent.
func (d *Download) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{
		Piece: func(p metainfo.Piece) storage.PieceImpl { return d.piece(p.Index()) },
		Close: func() error {
			d.use.Lock()
			defer d.use.Unlock()
			d.closed = true
			return nil
		},
	}, nil
}

// piece returns what the library sees of a piece. Normally that hashes itself, which saves a copy of every byte. After a
// piece came bad it does not: the library then reads it and finds out which peer had sent which bad part.
func (d *Download) piece(index int) storage.PieceImpl {
	start, _ := d.info.Bounds(index)
	p := filePiece{d, index, start}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.suspect[index] {
		return p
	}
	return hashingPiece{p}
}

// A filePiece is one piece of a download.
type filePiece struct {
	d     *Download
	index int
	start int64
}

// ReadAt reads from the file; the library asks only for what is verified or about to be.
func (p filePiece) ReadAt(b []byte, off int64) (int, error) {
	if err := p.d.read(b, p.start+off); err != nil {
		return 0, err
	}
	return len(b), nil
}

// read fills b from the file.
func (d *Download) read(b []byte, off int64) error {
	d.use.RLock()
	defer d.use.RUnlock()
	if d.closed {
		return ErrDropped
	}
	return readFull(d.file, b, off)
}

// verified says whether a piece is verified.
func (d *Download) verified(piece int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.have[piece]
}

// writing returns the lock of a piece's bytes.
func (d *Download) writing(piece int) *sync.RWMutex { return &d.writes[piece%len(d.writes)] }

// WriteAt writes to the file, unless the piece is verified: a part that arrives twice is discarded, so that bytes which
// are mounted or being sent never change.
func (p filePiece) WriteAt(b []byte, off int64) (int, error) {
	p.d.use.RLock()
	defer p.d.use.RUnlock()
	if p.d.closed {
		return 0, ErrDropped
	}
	lock := p.d.writing(p.index)
	lock.RLock()
	defer lock.RUnlock()
	if p.d.verified(p.index) {
		return len(b), nil
	}
	n, err := p.d.file.WriteAt(b, p.start+off)
	if err != nil {
		p.d.fail(fmt.Errorf("writing %d bytes at %d: %w", len(b), p.start+off, err))
	}
	return n, err
}

// MarkComplete records that the piece is verified.
func (p filePiece) MarkComplete() error {
	d := p.d
	_, length := d.info.Bounds(p.index)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.have[p.index] {
		return nil
	}
	d.have[p.index] = true
	d.bytes += length
	if d.missing == len(d.have) {
		d.first = time.Now()
	}
	if d.missing--; d.missing == 0 {
		close(d.complete)
	}
	close(d.changed)
	d.changed = make(chan struct{})
	return nil
}

// MarkNotComplete records that the piece came bad. One that was verified stays so: its bytes can no longer change.
func (p filePiece) MarkNotComplete() error {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	p.d.suspect[p.index] = true
	return nil
}

// Completion says whether the piece is verified.
func (p filePiece) Completion() storage.Completion {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	return storage.Completion{Ok: true, Complete: p.d.have[p.index]}
}

// A hashingPiece hashes itself where it lies.
type hashingPiece struct{ filePiece }

// SelfHash returns the piece's SHA-1.
func (p hashingPiece) SelfHash() (metainfo.Hash, error) {
	p.d.use.RLock()
	defer p.d.use.RUnlock()
	if p.d.closed {
		return metainfo.Hash{}, ErrDropped
	}
	buf := p.d.buffers.Get().(*[]byte)
	defer p.d.buffers.Put(buf)
	return sumPiece(p.d.file, p.d.info, p.index, *buf)
}
