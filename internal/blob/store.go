// Package blob keeps a controller's blobs: immutable files named by their SHA-256, in one directory of one file system.
//
// A blob becomes visible whole or not at all, whatever happens to the process or the machine, and no byte of it is
// handed out that was not checked against its SHA-256 first: a disk that lies is found out before a node sees it.
//
//	DIR/HEX        a blob, mode 0444
//	DIR/HEX.sums   the SHA-256 of each MiB of it; rebuilt from the blob when it is missing or torn
//	DIR/tmp/       what is being written; leftovers of dead processes are removed by Open
//
// Several processes may have the same store open.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/samara-hpc/samara/fleet"
	"golang.org/x/sys/unix"
)

// A Store is a directory of blobs. Its methods may be called from any goroutine. It holds no open file of its own and
// needs no closing.
type Store struct {
	dir     string
	cache   *cache
	rebuild sync.Mutex // one blob at a time is read whole to rebuild its sums
	met     atomic.Pointer[func(*CorruptError)]
}

// Open opens the store in dir, and creates it if need be. It removes what processes that are gone left in its tmp
// directory, and touches nothing else.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	s := &Store{dir: dir, cache: newCache(cacheChunks)}
	if err := os.MkdirAll(s.tmp(), 0o755); err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	if err := s.sweep(); err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	return s, nil
}

// Has reports whether the store holds d, without checking its bytes.
func (s *Store) Has(d fleet.Digest) bool {
	_, err := s.Stat(d)
	return err == nil
}

// Stat returns d with its length on disk, without checking its bytes. The error is fs.ErrNotExist if the store does
// not hold d.
func (s *Store) Stat(d fleet.Digest) (fleet.Blob, error) {
	info, err := os.Lstat(s.path(d))
	if err != nil {
		return fleet.Blob{}, s.missing(d, err)
	}
	if !info.Mode().IsRegular() {
		return fleet.Blob{}, fmt.Errorf("blob %s: %s is not a regular file: remove it", d.Short(), s.path(d))
	}
	return fleet.Blob{Digest: d, Size: info.Size()}, nil
}

// List returns every blob of the store in the order of their digests, without checking their bytes. Files that are
// not named like blobs are none.
func (s *Store) List() ([]fleet.Blob, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list blobs: %w", err)
	}
	var blobs []fleet.Blob
	for _, e := range entries {
		d, err := fleet.ParseDigest(e.Name())
		if err != nil || !e.Type().IsRegular() {
			continue
		}
		b, err := s.Stat(d)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		blobs = append(blobs, b)
	}
	return blobs, nil
}

// Remove removes d. Readers that are open go on reading it. The error is fs.ErrNotExist if the store does not hold d.
func (s *Store) Remove(d fleet.Digest) error {
	// The sums go first: a crash in between leaves a blob without sums, which is rebuilt, and never sums without a blob.
	if err := os.Remove(s.sumsPath(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove blob %s: %w", d.Short(), err)
	}
	if err := os.Remove(s.path(d)); err != nil {
		return s.missing(d, err)
	}
	return s.sync()
}

// Verify reads d and compares it with its name. A blob that differs is a *CorruptError.
func (s *Store) Verify(ctx context.Context, d fleet.Digest) error {
	return s.verify(ctx, d, func(*os.File, int64, int) error { return ctx.Err() })
}

// Scrub is Verify for a blob that may lie in the page cache: it reads what the disk holds now. It calls pace before it
// reads the next n bytes, to be slowed down, and stops with pace's error.
func (s *Store) Scrub(ctx context.Context, d fleet.Digest, pace func(ctx context.Context, n int) error) error {
	return s.verify(ctx, d, func(f *os.File, off int64, n int) error {
		if err := pace(ctx, n); err != nil {
			return err
		}
		// Pages that are clean are dropped; where that is not possible, what is cached is read.
		_ = unix.Fadvise(int(f.Fd()), off, int64(n), unix.FADV_DONTNEED)
		return nil
	})
}

func (s *Store) verify(ctx context.Context, d fleet.Digest, before func(f *os.File, off int64, n int) error) error {
	f, err := s.openFile(d)
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := hashFile(f, before)
	if err != nil {
		return fmt.Errorf("verify blob %s: %w", d.Short(), err)
	}
	if got.blob.Digest == d {
		return nil
	}
	return s.corrupt(d, got)
}

// OnCorrupt has f called with every corrupt blob that is met from now on, by whoever reads it. f must not block, nor call
// the store.
func (s *Store) OnCorrupt(f func(*CorruptError)) { s.met.Store(&f) }

// Misfit returns the *CorruptError of d's file, of which somebody knows that it differs from d at an offset.
func (s *Store) Misfit(d fleet.Digest, off int64) error {
	return &CorruptError{Path: s.path(d), Digest: d, Offset: off - off%chunkSize}
}

// corrupt returns the error for d, whose file holds got, and tells whom OnCorrupt has named.
func (s *Store) corrupt(d fleet.Digest, got sums) error {
	e := &CorruptError{Path: s.path(d), Digest: d, Offset: -1}
	if want, err := s.loadSums(d); err == nil {
		e.Offset = got.differsAt(want)
	}
	return s.tell(e)
}

func (s *Store) tell(e *CorruptError) error {
	if f := s.met.Load(); f != nil {
		(*f)(e)
	}
	return e
}

// Path returns the name of d's file, for a program that cannot read through a Reader, after it has verified the file.
func (s *Store) Path(ctx context.Context, d fleet.Digest) (string, error) {
	if err := s.Verify(ctx, d); err != nil {
		return "", err
	}
	return s.path(d), nil
}

// Dir returns the store's directory as an absolute path.
func (s *Store) Dir() string { return s.dir }

func (s *Store) path(d fleet.Digest) string     { return filepath.Join(s.dir, d.String()) }
func (s *Store) sumsPath(d fleet.Digest) string { return s.path(d) + ".sums" }
func (s *Store) tmp() string                    { return filepath.Join(s.dir, "tmp") }

// missing says that the store does not hold d, or why that cannot be known.
func (s *Store) missing(d fleet.Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("blob %s: not in the store %s: %w", d.Short(), s.dir, fs.ErrNotExist)
	}
	return fmt.Errorf("blob %s: %w", d.Short(), err)
}

// openFile opens the file of d, which is of d's content or corrupt.
func (s *Store) openFile(d fleet.Digest) (*os.File, error) {
	if _, err := s.Stat(d); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path(d), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, s.missing(d, err)
	}
	return f, nil
}

// sync makes renames and removals in the store's directory durable.
func (s *Store) sync() error {
	f, err := os.Open(s.dir)
	if err != nil {
		return fmt.Errorf("sync blob store: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync blob store: %w", err)
	}
	return nil
}

// full adds the cure to an error for want of space.
func (s *Store) full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: free space on the file system of %s, or delete an image (samara image delete)", err, s.dir)
	}
	return err
}

// hashFile reads f from its start and returns its sums. It calls before with what it reads next, and stops if that fails.
func hashFile(f *os.File, before func(f *os.File, off int64, n int) error) (sums, error) {
	h := newHasher()
	buf := make([]byte, chunkSize)
	for off := int64(0); ; {
		if err := before(f, off, len(buf)); err != nil {
			return sums{}, err
		}
		n, err := f.ReadAt(buf, off)
		h.Write(buf[:n])
		off += int64(n)
		if errors.Is(err, io.EOF) {
			return h.sums(), nil
		}
		if err != nil {
			return sums{}, err
		}
	}
}
