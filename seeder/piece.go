package seeder

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
)

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
	if p.d.have[p.index] {
		p.d.disputed[p.index] = struct{}{}
	}
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
