package blob

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"golang.org/x/sys/unix"
)

// A Writer takes the bytes of one new blob. It is for one goroutine. It ends with Commit or Abort; Abort after either
// does nothing, so that it can be deferred.
type Writer struct {
	store *Store
	file  *os.File // nil once ended
	hash  *hasher
	err   error // the first failure of Write
}

// ErrOther means that bytes which were to be a certain blob are another one.
var ErrOther = errors.New("other bytes than expected")

var errEnded = errors.New("write blob: the writer has ended")

// Create begins a blob.
func (s *Store) Create() (*Writer, error) {
	f, err := s.createTemp()
	if err != nil {
		return nil, fmt.Errorf("create blob: %w", s.full(err))
	}
	return &Writer{store: s, file: f, hash: newHasher()}, nil
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	if w.file == nil {
		return 0, errEnded
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.file.Write(p)
	w.hash.Write(p[:n])
	if err != nil {
		w.err = fmt.Errorf("write blob: %w", w.store.full(err))
	}
	return n, w.err
}

// Commit makes the blob part of the store: when it returns, the blob is on the disk under its name. Whatever the store
// held under that name is replaced, so that a corrupt file is healed by its own content. After an error nothing is
// left behind.
func (w *Writer) Commit() (fleet.Blob, error) { return w.commit(nil) }

// CommitAs is Commit for a blob that is known beforehand. The error wraps ErrOther if other bytes were written: the store
// is then as it was before.
func (w *Writer) CommitAs(want fleet.Blob) error {
	_, err := w.commit(&want)
	return err
}

func (w *Writer) commit(want *fleet.Blob) (fleet.Blob, error) {
	if w.file == nil {
		return fleet.Blob{}, errEnded
	}
	if w.err != nil {
		w.Abort()
		return fleet.Blob{}, w.err
	}
	of := w.hash.sums()
	err := of.check(want)
	if err == nil {
		_, err = w.store.commit(w.file, of)
	}
	if err != nil {
		w.Abort()
		return fleet.Blob{}, err
	}
	err = w.file.Close()
	w.file = nil
	return of.blob, err
}

// Abort gives the blob up and removes what was written of it.
func (w *Writer) Abort() {
	if w.file == nil {
		return
	}
	_ = os.Remove(w.file.Name())
	_ = w.file.Close()
	w.file = nil
}

// Adopt makes a file that another program has written to a Temp of this store into a blob, without copying it. It
// reads the file once. After an error the file is still where it was.
func (s *Store) Adopt(ctx context.Context, path string) (fleet.Blob, error) {
	return s.adopt(ctx, path, nil)
}

// AdoptAs is Adopt for a blob that is known beforehand. The error wraps ErrOther if the file holds other bytes.
func (s *Store) AdoptAs(ctx context.Context, path string, want fleet.Blob) error {
	_, err := s.adopt(ctx, path, &want)
	return err
}

func (s *Store) adopt(ctx context.Context, path string, want *fleet.Blob) (fleet.Blob, error) {
	if rel, err := filepath.Rel(s.tmp(), path); err != nil || strings.HasPrefix(rel, "..") {
		return fleet.Blob{}, fmt.Errorf("adopt blob: %s is not below %s", path, s.tmp())
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fleet.Blob{}, fmt.Errorf("adopt blob: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return fleet.Blob{}, fmt.Errorf("adopt blob: %w", err)
	} else if !info.Mode().IsRegular() {
		return fleet.Blob{}, fmt.Errorf("adopt blob: %s is not a regular file", path)
	}
	of, err := hashFile(f, func(*os.File, int64, int) error { return ctx.Err() })
	if err != nil {
		return fleet.Blob{}, fmt.Errorf("adopt blob: %w", err)
	}
	if err := of.check(want); err != nil {
		return fleet.Blob{}, err
	}
	return s.commit(f, of)
}

// commit gives the file f, whose sums are known, its name in the store.
func (s *Store) commit(f *os.File, of sums) (fleet.Blob, error) {
	fail := func(err error) (fleet.Blob, error) {
		return fleet.Blob{}, fmt.Errorf("commit blob: %w", s.full(err))
	}
	if err := f.Chmod(0o444); err != nil {
		return fail(err)
	}
	if err := f.Sync(); err != nil {
		return fail(err)
	}
	name, err := s.writeSums(of)
	if err != nil {
		return fail(err)
	}
	// The blob goes first: a crash in between leaves a blob without sums, which are rebuilt, and never sums without a blob.
	if err := os.Rename(f.Name(), s.path(of.blob.Digest)); err != nil {
		_ = os.Remove(name)
		return fail(err)
	}
	if err := os.Rename(name, s.sumsPath(of.blob.Digest)); err != nil {
		_ = os.Remove(name)
		return fail(err)
	}
	return of.blob, s.sync()
}
