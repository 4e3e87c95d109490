package seeder

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// A source is a blob that is there in full, and is not believed: no byte of a piece leaves before the piece was compared
// with its sum. Its methods may be called from any goroutine.
type source struct {
	info    Info
	blob    io.ReaderAt
	file    *os.File              // under blob, or nil; then pieces are checked as it has them, which blob may remember otherwise
	misfit  func(off int64) error // tells the keeper of blob that it is damaged, or nil
	checks  chan *[]byte          // buffers for hashing, one for each check that may run at once
	checked []atomic.Bool         // pieces that have proved good
	turn    []chan struct{}
	doubts  atomic.Uint32
}

// newSource returns a source whose pieces are checked when they are first used, with the buffers of checks.
func newSource(i Info, blob io.ReaderAt, checks chan *[]byte) *source {
	s := &source{info: i, blob: blob, checks: checks, checked: make([]atomic.Bool, i.Pieces()), turn: make([]chan struct{}, 16)}
	if f, ok := blob.(interface{ File() *os.File }); ok {
		s.file = f.File()
	}
	if m, ok := blob.(interface{ Misfit(off int64) error }); ok {
		s.misfit = m.Misfit
	}
	for n := range s.turn {
		s.turn[n] = make(chan struct{}, 1)
	}
	return s
}

// check compares a piece with its sum, unless that was done before. It returns false, and no error, if gone is closed first.
func (s *source) check(piece int, gone <-chan struct{}) (bool, error) {
	if s.checked[piece].Load() {
		return true, nil
	}
	// One of all who want a piece hashes it, the others wait.
	turn := s.turn[piece%len(s.turn)]
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-gone:
		return false, nil
	}
	for !s.checked[piece].Load() {
		select {
		case buf := <-s.checks:
			err := s.compare(piece, *buf)
			s.checks <- buf
			if err != nil {
				return false, err
			}
		case <-gone:
			return false, nil
		}
	}
	return true, nil
}

func (s *source) compare(piece int, buf []byte) error {
	doubts := s.doubts.Load()
	from := s.blob
	if s.file != nil {
		from = s.file
	}
	sum, err := sumPiece(from, s.info, piece, buf)
	if err == nil && sum != s.info.Sum(piece) {
		err = fmt.Errorf("piece %d is damaged: its SHA-1 is %x and should be %x", piece, sum, s.info.Sum(piece))
	}
	if err != nil {
		if start, _ := s.info.Bounds(piece); s.misfit != nil {
			err = fmt.Errorf("%w: %w", err, s.misfit(start))
		}
		return err
	}
	s.checked[piece].Store(true)
	if s.doubts.Load() != doubts {
		s.checked[piece].Store(false) // what was read may be what is doubted
	}
	return nil
}

// doubt has every piece compared anew before it is used again.
func (s *source) doubt() {
	s.doubts.Add(1)
	for n := range s.checked {
		s.checked[n].Store(false)
	}
}
