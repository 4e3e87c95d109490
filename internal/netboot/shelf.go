package netboot

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// Bounds of a shelf.
const (
	shelfBytes    = 512 << 20       // of all its files: the kernels and initramfs of a handful of images
	shelfReserve  = 4               // a file is put on it only if memory for that many such files is available
	shelfRest     = time.Minute     // for which nobody asked for a file that makes room for another
	shelfPatience = 2 * time.Second // that a request waits for a file on its way; then it reads the store like the others before it
)

// A shelf holds boot files in memory, whole and verified, so that a thousand machines that ask for one at once cost one
// reading of it and no copying: what they are sent is what lies there. A file is read once however many ask, is never
// changed, and is forgotten once no image names it; a response that sends it keeps it until its end. What finds no room
// is read from the store at each request. Its methods may be called from any goroutine.
type shelf struct {
	open      func(fleet.Digest) (Blob, error)
	available func() int64 // memory, in bytes
	now       func() time.Time

	mu      sync.Mutex
	files   map[fleet.Digest]*shelved
	bytes   int64 // of files, those on their way included
	closed  bool
	loading sync.WaitGroup
}

// A shelved file is on its way until ready is closed. Then data is read-only, and nil if the file could not be read.
type shelved struct {
	size  int64
	used  time.Time // last asked for, under the shelf's lock
	ready chan struct{}
	data  []byte
}

func newShelf(open func(fleet.Digest) (Blob, error)) *shelf {
	return &shelf{open: open, available: availableMemory, now: time.Now, files: map[fleet.Digest]*shelved{}}
}

// read returns the bytes of a file, which must not be changed. It is nil if the shelf has no room for it, if it could
// not be read, or if that takes long.
func (s *shelf) read(ctx context.Context, b fleet.Blob) []byte {
	f := s.ask(b)
	if f == nil {
		return nil
	}
	select {
	case <-f.ready:
		return f.data
	default:
	}
	patience := time.NewTimer(shelfPatience)
	defer patience.Stop()
	select {
	case <-f.ready:
		return f.data
	case <-patience.C:
	case <-ctx.Done():
	}
	return nil
}

// ask returns a file, which may be on its way, or nil if there is no room for it. A machine that is sent a script is
// about to fetch what it names, so that asking then has the file there in time.
func (s *shelf) ask(b fleet.Blob) *shelved {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if f, ok := s.files[b.Digest]; ok {
		f.used = now
		return f
	}
	if s.closed || b.Size <= 0 || !s.makeRoom(b.Size, now) {
		return nil
	}
	f := &shelved{size: b.Size, used: now, ready: make(chan struct{})}
	s.files[b.Digest] = f
	s.bytes += f.size
	s.loading.Go(func() { s.load(b.Digest, f) })
	return f
}

// makeRoom reports whether size more bytes fit, under the lock. It forgets files that rest, the one that rests longest
// first, and none that is asked for: two images that do not fit together are not to push each other out at each request.
func (s *shelf) makeRoom(size int64, now time.Time) bool {
	if size > shelfBytes || s.available()/shelfReserve < size {
		return false
	}
	for s.bytes+size > shelfBytes {
		var oldest fleet.Digest
		for d, f := range s.files {
			if o := s.files[oldest]; o == nil || f.used.Before(o.used) {
				oldest = d
			}
		}
		if now.Sub(s.files[oldest].used) < shelfRest {
			return false
		}
		s.drop(oldest)
	}
	return true
}

// drop forgets a file, under the lock.
func (s *shelf) drop(d fleet.Digest) {
	s.bytes -= s.files[d].size
	delete(s.files, d)
}

// load reads a file, and forgets it if that fails: whoever asks next tries again, and meets the failure in the store.
func (s *shelf) load(d fleet.Digest, f *shelved) {
	defer close(f.ready)
	data, err := s.readAll(d, f.size)
	if err == nil {
		f.data = data
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[d] == f {
		s.drop(d)
	}
}

// readAll reads a file whole. What it returns was verified, MiB by MiB, by the blob's ReadAt.
func (s *shelf) readAll(d fleet.Digest, size int64) ([]byte, error) {
	b, err := s.open(d)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if b.Size() != size {
		return nil, fmt.Errorf("blob %s: %d bytes, want %d", d.Short(), b.Size(), size)
	}
	const step = 1 << 20
	data := make([]byte, size)
	for off := int64(0); off < size; off += step {
		if s.isClosed() {
			return nil, os.ErrClosed
		}
		part := data[off:min(off+step, size)]
		if n, err := b.ReadAt(part, off); n < len(part) {
			return nil, fmt.Errorf("blob %s: %w", d.Short(), err)
		}
	}
	return data, nil
}

// keep forgets every file that named does not have.
func (s *shelf) keep(named map[fleet.Digest]bootFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d := range s.files {
		if _, ok := named[d]; !ok {
			s.drop(d)
		}
	}
}

// holds returns how many files there are and their bytes, those on their way included.
func (s *shelf) holds() (files int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.files), s.bytes
}

func (s *shelf) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// close ends what is on its way, and waits for that as long as for responses: a read of a disk that hangs cannot be ended,
// and is not to keep the controller from ending in order. Files that are there may still be read.
func (s *shelf) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.loading.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(shutdownTimeout):
	}
}

// availableMemory returns how many bytes can be had without swapping (proc_meminfo(5), MemAvailable); where that is not
// known, there is enough.
func availableMemory() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return math.MaxInt64
	}
	defer f.Close()
	return parseAvailable(f)
}

func parseAvailable(meminfo io.Reader) int64 {
	for lines := bufio.NewScanner(meminfo); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			var kib int64
			if _, err := fmt.Sscanf(value, "%d kB", &kib); err == nil && kib >= 0 && kib < math.MaxInt64>>10 {
				return kib << 10
			}
		}
	}
	return math.MaxInt64
}

// A shelfReader reads what lies on a shelf, for one response.
type shelfReader struct {
	*bytes.Reader
	data []byte
}

func newShelfReader(data []byte) *shelfReader { return &shelfReader{bytes.NewReader(data), data} }

// next returns the next n bytes, or those that are left, and goes past them.
func (r *shelfReader) next(n int64) []byte {
	n = max(0, min(n, int64(r.Len())))
	from := int64(len(r.data)) - int64(r.Len())
	_, _ = r.Seek(n, io.SeekCurrent) // within the data
	return r.data[from : from+n]
}
