package blob

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/samara-hpc/samara/fleet"
)

// A Reader reads one blob. Each MiB is compared with its SHA-256 before a byte of it is handed out. Its methods may be
// called from any goroutine; io.NewSectionReader(r, 0, r.Size()) is an io.ReadSeeker for each.
type Reader struct {
	store *Store
	file  *os.File
	sums  sums
}

// Open opens d for reading. The error is fs.ErrNotExist if the store does not hold d, and ErrCorrupt if what it holds
// is not d. Open reads a blob whole only if its sums are lost.
func (s *Store) Open(d fleet.Digest) (*Reader, error) {
	f, err := s.openFile(d)
	if err != nil {
		return nil, err
	}
	of, err := s.sumsOf(d, f)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &Reader{store: s, file: f, sums: of}, nil
}

// Blob returns the blob's digest and length.
func (r *Reader) Blob() fleet.Blob { return r.sums.blob }

// Size returns the blob's length in bytes.
func (r *Reader) Size() int64 { return r.sums.blob.Size }

// File returns the blob's file, for a sendfile of bytes that the caller has read from it and compared with sums of its
// own: nothing else checks them. It is closed by Close, and its offset and content are not the caller's to change.
func (r *Reader) File() *os.File { return r.file }

// Misfit tells whom OnCorrupt has named that the file differs from the blob at an offset, as somebody found who read it
// by File. It returns the *CorruptError.
func (r *Reader) Misfit(off int64) error {
	d := r.sums.blob.Digest
	return r.store.tell(&CorruptError{Path: r.store.path(d), Digest: d, Offset: off - off%chunkSize})
}

// Close closes the blob's file.
func (r *Reader) Close() error { return r.file.Close() }

// ReadAt implements io.ReaderAt. Bytes that do not match the blob's name are never returned: the error is then a
// *CorruptError.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read blob %s: negative offset %d", r.sums.blob.Digest.Short(), off)
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at >= r.Size() {
			return done, io.EOF
		}
		data, err := r.chunk(at / chunkSize)
		if err != nil {
			return done, err
		}
		done += copy(p[done:], data[at%chunkSize:])
	}
	return done, nil
}

// chunk returns the verified bytes of a chunk, which must not be changed.
func (r *Reader) chunk(index int64) ([]byte, error) {
	return r.store.cache.read(chunkKey{r.sums.blob.Digest, index}, func() ([]byte, error) {
		start := index * chunkSize
		data := make([]byte, min(chunkSize, r.Size()-start))
		_, err := r.file.ReadAt(data, start)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read blob %s: %w", r.sums.blob.Digest.Short(), err)
		}
		// io.EOF: the file was cut short since Open.
		if err != nil || fleet.Digest(sha256.Sum256(data)) != r.sums.chunks[index] {
			return nil, r.store.tell(&CorruptError{Path: r.store.path(r.sums.blob.Digest), Digest: r.sums.blob.Digest, Offset: start})
		}
		return data, nil
	})
}
