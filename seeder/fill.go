package seeder

import (
	"crypto/sha1"
	"errors"
	"fmt"
)

// ErrPiece is the reason in every error of Put about the bytes it was given.
var ErrPiece = errors.New("bad piece")

// A Range is a part of a blob, in bytes.
type Range struct {
	Off, Len int64
}

// Missing returns at most limit pieces that are not verified, each as the range of its bytes: those first that no peer has
// been asked for. It begins at a place that differs between nodes, so that nodes which are short of the same pieces fetch
// different ones, and trade.
func (d *Download) Missing(limit int) []Range {
	d.mu.Lock()
	defer d.mu.Unlock()
	var missing []Range
	for _, asked := range []bool{false, true} {
		for i := range d.have {
			piece := (d.offset + i) % len(d.have)
			if len(missing) >= limit {
				return missing
			}
			if d.have[piece] || asked != (d.asked[piece] > 0) {
				continue
			}
			start, length := d.info.Bounds(piece)
			missing = append(missing, Range{Off: start, Len: length})
		}
	}
	return missing
}

// Put delivers a whole piece that did not come from a peer: b are the blob's bytes from off on. They are compared with the
// piece's sum before anything is written; then peers are told of it. A piece that has been verified meanwhile is left
// alone, which is no error. The error is ErrPiece if b is no piece or not the right one, ErrDropped after Drop, or the file's.
func (d *Download) Put(off int64, b []byte) error {
	if err := d.put(off, b); err != nil {
		return fmt.Errorf("putting %d bytes at %d of blob %s: %w", len(b), off, d.info.Digest.Short(), err)
	}
	return nil
}

func (d *Download) put(off int64, b []byte) error {
	if off < 0 || off >= d.info.Size || off%d.info.PieceLength != 0 {
		return fmt.Errorf("%w: no piece begins there", ErrPiece)
	}
	piece := int(off / d.info.PieceLength)
	if _, length := d.info.Bounds(piece); int64(len(b)) != length {
		return fmt.Errorf("%w: piece %d has %d bytes", ErrPiece, piece, length)
	}
	if got := sha1.Sum(b); got != d.info.Sum(piece) {
		return fmt.Errorf("%w: the SHA-1 of piece %d is %x and should be %x", ErrPiece, piece, got, d.info.Sum(piece))
	}
	fresh, err := d.store(piece, b)
	if err != nil {
		return err
	}
	if fresh {
		d.fromControl.Add(int64(len(b)))
		d.torrent.Piece(piece).UpdateCompletion()
	}
	return nil
}

// store writes a whole piece whose sum is right, unless it is verified already.
func (d *Download) store(piece int, b []byte) (fresh bool, err error) {
	d.use.RLock()
	defer d.use.RUnlock()
	if d.closed {
		return false, ErrDropped
	}
	lock := d.writing(piece)
	lock.Lock()
	defer lock.Unlock()
	if d.verified(piece) {
		return false, nil
	}
	start, _ := d.info.Bounds(piece)
	if _, err := d.file.WriteAt(b, start); err != nil {
		err = fmt.Errorf("writing %d bytes at %d: %w", len(b), start, err)
		d.fail(err)
		return false, err
	}
	return true, filePiece{d, piece, start}.MarkComplete()
}
