package seeder

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
)

// What is known of a piece of a seed.
const (
	pieceUnread uint32 = iota // trusted, not yet checked
	pieceGood
	pieceBad
)

// A seed serves a blob that is there in full. It implements the library's storage interfaces.
type seed struct {
	info     Info
	blob     io.ReaderAt
	logger   *slog.Logger
	withdraw func(piece int) // tells the peers that a piece is no longer offered

	state    []atomic.Uint32
	checking [8]sync.Mutex // by piece: one first reader at a time, so that a piece is read and hashed once
	buffers  sync.Pool     // *[]byte, for hashing
	report   sync.Once

	mu     sync.RWMutex // held for reading while blob is used
	closed bool
}

func newSeed(i Info, blob io.ReaderAt, logger *slog.Logger, withdraw func(int)) *seed {
	s := &seed{info: i, blob: blob, logger: logger, withdraw: withdraw, state: make([]atomic.Uint32, i.Pieces())}
	s.buffers.New = func() any {
		b := make([]byte, 256<<10)
		return &b
	}
	return s
}

// OpenTorrent makes s the storage of its torrent.
func (s *seed) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{
		Piece: func(p metainfo.Piece) storage.PieceImpl { return seedPiece{s, p.Index()} },
		Close: func() error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.closed = true
			return nil
		},
	}, nil
}

// read fills b from offset off of a piece. It returns all of b or an error, never bytes that were not checked.
func (s *seed) read(piece int, b []byte, off int64) (int, error) {
	err := s.readChecked(piece, b, off)
	if err == nil {
		return len(b), nil
	}
	if !errors.Is(err, ErrDropped) && s.state[piece].Swap(pieceBad) != pieceBad {
		s.report.Do(func() {
			s.logger.Error("a piece of a blob cannot be read and is not seeded: other holders serve it; remove the blob and fetch or import it again",
				"blob", s.info.Digest.String(), "piece", piece, "err", err)
		})
		s.withdraw(piece) // takes the library's lock, so no lock of ours may be held
	}
	return 0, err
}

func (s *seed) readChecked(piece int, b []byte, off int64) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrDropped
	}
	if err := s.check(piece); err != nil {
		return err
	}
	start, _ := s.info.Bounds(piece)
	return readFull(s.blob, b, start+off)
}

// check compares a piece with its sum when it is used for the first time.
func (s *seed) check(piece int) error {
	if s.state[piece].Load() == pieceUnread {
		lock := &s.checking[piece%len(s.checking)]
		lock.Lock()
		defer lock.Unlock()
	}
	switch s.state[piece].Load() {
	case pieceGood:
		return nil
	case pieceBad:
		return fmt.Errorf("piece %d is damaged", piece)
	}
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	sum, err := sumPiece(s.blob, s.info, piece, *buf)
	if err != nil {
		return err
	}
	if sum != s.info.Sum(piece) {
		return fmt.Errorf("piece %d is damaged: its SHA-1 is %x and should be %x", piece, sum, s.info.Sum(piece))
	}
	s.state[piece].CompareAndSwap(pieceUnread, pieceGood)
	return nil
}

// sumPiece returns the SHA-1 of a piece of r, read through buf.
func sumPiece(r io.ReaderAt, i Info, piece int, buf []byte) ([sha1.Size]byte, error) {
	start, length := i.Bounds(piece)
	h := sha1.New()
	for length > 0 {
		part := buf[:min(int64(len(buf)), length)]
		if err := readFull(r, part, start); err != nil {
			return [sha1.Size]byte{}, fmt.Errorf("reading piece %d: %w", piece, err)
		}
		h.Write(part)
		start += int64(len(part))
		length -= int64(len(part))
	}
	return [sha1.Size]byte(h.Sum(nil)), nil
}

// readFull fills b or fails; its error is never io.EOF, which the library would take for the end of a piece.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("it ends %d bytes early: %w", len(b)-n, io.ErrUnexpectedEOF)
	default:
		return err
	}
}

// A seedPiece is one piece of a seed.
type seedPiece struct {
	seed  *seed
	index int
}

func (p seedPiece) ReadAt(b []byte, off int64) (int, error) { return p.seed.read(p.index, b, off) }

func (p seedPiece) WriteAt([]byte, int64) (int, error) {
	return 0, errors.New("a seeded blob is not written")
}

// MarkComplete is called when the library has hashed a piece, which it has no reason to do here.
func (p seedPiece) MarkComplete() error { return nil }

// MarkNotComplete keeps the library from offering the piece.
func (p seedPiece) MarkNotComplete() error {
	p.seed.state[p.index].Store(pieceBad)
	return nil
}

// Completion says that every piece is there until it proves bad.
func (p seedPiece) Completion() storage.Completion {
	return storage.Completion{Ok: true, Complete: p.seed.state[p.index].Load() != pieceBad}
}

// noStorage stands where the library would otherwise keep torrents in files of its own. Every torrent brings its own.
type noStorage struct{}

// OpenTorrent always fails.
func (noStorage) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{}, errors.New("a torrent without storage was added")
}
