package seeder

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// Reader returns the blob from its first byte to its last while the download runs: a byte can be read once its piece is
// verified, and a Read waits for that. After the last byte it returns io.EOF. It ends with the error that Wait returns if
// the download fails or is dropped, and with ctx's. Close ends a Read that waits. A Read is for one goroutine at a time.
func (d *Download) Reader(ctx context.Context) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	return &stream{download: d, ctx: ctx, cancel: cancel}
}

// A stream reads the verified start of a download.
type stream struct {
	download *Download
	ctx      context.Context
	cancel   context.CancelFunc
	off      int64 // of the next byte
	ready    int64 // where the verified bytes end, as far as is known

	mu     sync.Mutex
	closed bool
}

// Read returns at least one byte, or an error.
func (s *stream) Read(b []byte) (int, error) {
	d := s.download
	if len(b) == 0 {
		return 0, nil
	}
	if s.off == d.info.Size {
		return 0, io.EOF
	}
	if err := s.await(); err != nil {
		return 0, fmt.Errorf("reading blob %s at %d: %w", d.info.Digest.Short(), s.off, err)
	}
	b = b[:min(int64(len(b)), s.ready-s.off)]
	if err := d.read(b, s.off); err != nil {
		return 0, fmt.Errorf("reading blob %s at %d: %w", d.info.Digest.Short(), s.off, err)
	}
	s.off += int64(len(b))
	return len(b), nil
}

// await returns once the byte at off is verified.
func (s *stream) await() error {
	d := s.download
	for {
		if err := s.ctx.Err(); err != nil {
			return s.ended()
		}
		if s.off < s.ready {
			return nil
		}
		var changed <-chan struct{}
		if s.ready, changed = d.verifiedFrom(s.off); s.off < s.ready {
			return nil
		}
		select {
		case <-changed:
		case <-d.failed:
			return d.reason()
		case <-s.ctx.Done():
		}
	}
}

// ended says why the stream's context is done.
func (s *stream) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return io.ErrClosedPipe
	}
	return context.Cause(s.ctx)
}

// Close ends the stream. It never fails.
func (s *stream) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	return nil
}

// verifiedFrom returns where the verified bytes end that begin at off, off itself if there are none, and a channel that is
// closed when a further piece has been verified.
func (d *Download) verifiedFrom(off int64) (end int64, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	end = off
	for piece := int(off / d.info.PieceLength); piece < len(d.have) && d.have[piece]; piece++ {
		start, length := d.info.Bounds(piece)
		end = start + length
	}
	return end, d.changed
}
