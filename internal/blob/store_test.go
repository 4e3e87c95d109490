package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// noise returns n bytes that do not compress, the same for the same seed.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0] = seed
	rand.NewChaCha8(key).Read(b)
	return b
}

func put(t *testing.T, s *Store, content []byte) fleet.Blob {
	t.Helper()
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	b, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readAll(s *Store, d fleet.Digest) ([]byte, error) {
	r, err := s.Open(d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
}

// names returns the files of a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestWhatIsCommittedIsReadBack(t *testing.T) {
	for name, size := range map[string]int{
		"nothing": 0, "a byte": 1, "less than a chunk": chunkSize - 1, "a chunk": chunkSize,
		"more than a chunk": chunkSize + 1, "three chunks": 3 * chunkSize, "many chunks": 5*chunkSize + 77,
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			content := noise(1, size)
			b := put(t, s, content)
			if want := (fleet.Blob{Digest: sha256.Sum256(content), Size: int64(size)}); b != want {
				t.Fatalf("Commit: got %v, want %v", b, want)
			}
			if got, err := readAll(s, b.Digest); err != nil || !bytes.Equal(got, content) {
				t.Errorf("read back: got %d bytes and %v, want %d", len(got), err, size)
			}
			if err := s.Verify(t.Context(), b.Digest); err != nil {
				t.Errorf("Verify: %v", err)
			}
			if got, err := s.List(); err != nil || !slices.Equal(got, []fleet.Blob{b}) {
				t.Errorf("List: got %v and %v, want %v", got, err, b)
			}
			if info, err := os.Stat(s.path(b.Digest)); err != nil || info.Mode().Perm() != 0o444 {
				t.Errorf("mode: got %v and %v, want 0444", info.Mode(), err)
			}
			if got := names(t, s.tmp()); len(got) != 0 {
				t.Errorf("left in tmp: %q", got)
			}
		})
	}
}

func TestReadAtAnyOffset(t *testing.T) {
	s := openStore(t, t.TempDir())
	content := noise(2, 3*chunkSize+100)
	r, err := s.Open(put(t, s, content).Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	size := len(content)
	for name, c := range map[string]struct {
		off, n, want int
		err          error
	}{
		"start":             {0, 10, 10, nil},
		"across chunks":     {chunkSize - 5, 10, 10, nil},
		"over three chunks": {chunkSize - 5, chunkSize + 10, chunkSize + 10, nil},
		"to the end":        {size - 10, 10, 10, nil},
		"over the end":      {size - 10, 20, 10, io.EOF},
		"at the end":        {size, 1, 0, io.EOF},
		"after the end":     {size + 5, 1, 0, io.EOF},
		"nothing":           {7, 0, 0, nil},
	} {
		p := make([]byte, c.n)
		n, err := r.ReadAt(p, int64(c.off))
		if n != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %d and %v, want %d and %v", name, n, err, c.want, c.err)
		}
		if at := min(c.off, size); !bytes.Equal(p[:n], content[at:at+n]) {
			t.Errorf("%s: other bytes than were written", name)
		}
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("negative offset: got no error")
	}
}

func TestWhatIsNotInTheStore(t *testing.T) {
	s := openStore(t, t.TempDir())
	d := fleet.Digest(sha256.Sum256([]byte("nothing of the kind")))
	if _, err := s.Open(d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open: got %v, want fs.ErrNotExist", err)
	}
	if _, err := s.Stat(d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat: got %v, want fs.ErrNotExist", err)
	}
	if err := s.Remove(d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Remove: got %v, want fs.ErrNotExist", err)
	}
	if err := s.Verify(t.Context(), d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Verify: got %v, want fs.ErrNotExist", err)
	}
	if s.Has(d) {
		t.Error("Has: got true")
	}
	if err := os.Symlink("/etc/passwd", s.path(d)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(d); err == nil {
		t.Error("Open of a symbolic link: got no error")
	}
}

func TestRemovedBlobIsGoneButStillReadByItsReaders(t *testing.T) {
	s := openStore(t, t.TempDir())
	content := noise(3, 2*chunkSize)
	b := put(t, s, content)
	r, err := s.Open(b.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := s.Remove(b.Digest); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s.dir); !slices.Equal(got, []string{"tmp"}) {
		t.Errorf("left behind: %q", got)
	}
	if got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size())); err != nil || !bytes.Equal(got, content) {
		t.Errorf("open reader: got %d bytes and %v", len(got), err)
	}
}

func TestAbortedWriterLeavesNothing(t *testing.T) {
	s := openStore(t, t.TempDir())
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(noise(4, chunkSize)); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if got := names(t, s.tmp()); len(got) != 0 {
		t.Errorf("left in tmp: %q", got)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("Write after Abort: got no error")
	}
	if _, err := w.Commit(); err == nil {
		t.Error("Commit after Abort: got no error")
	}
}

func TestAdoptMovesAFileIntoTheStore(t *testing.T) {
	s := openStore(t, t.TempDir())
	tmp, err := s.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	content := noise(5, 2*chunkSize+1)
	path := filepath.Join(tmp.Path(), "root.squashfs")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := s.Adopt(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := tmp.Remove(); err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(s, b.Digest); err != nil || !bytes.Equal(got, content) {
		t.Errorf("read back: got %d bytes and %v", len(got), err)
	}
	if got := names(t, s.tmp()); len(got) != 0 {
		t.Errorf("left in tmp: %q", got)
	}
}

func TestAdoptRefusesWhatIsNotItsOwn(t *testing.T) {
	s := openStore(t, t.TempDir())
	tmp, err := s.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Remove()
	outside := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(tmp.Path(), "link")
	if err := os.Symlink(outside, link); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a file elsewhere": outside, "a link": link, "a directory": tmp.Path(), "nothing": filepath.Join(tmp.Path(), "none"),
	} {
		if _, err := s.Adopt(t.Context(), path); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(tmp.Path(), "file")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Adopt(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestOpenRemovesOnlyWhatDeadProcessesLeft(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	tmp, err := s.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(s.tmp(), "dir-dead", "squashfs-root")
	if err := os.MkdirAll(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dead, "file"), filepath.Join(s.tmp(), "file-dead"), filepath.Join(dir, "notes")} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(s.tmp(), "link-dead")); err != nil {
		t.Fatal(err)
	}

	other := openStore(t, dir)
	want := []string{filepath.Base(tmp.Path()), filepath.Base(w.file.Name())}
	if got := names(t, other.tmp()); !slices.Equal(got, want) {
		t.Errorf("tmp: got %q, want %q", got, want)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"notes", "tmp"}) {
		t.Errorf("store: got %q", got)
	}
	if b, err := w.Commit(); err != nil || !other.Has(b.Digest) {
		t.Errorf("the live writer: %v", err)
	}
	if err := tmp.Remove(); err != nil {
		t.Error(err)
	}
	if got := names(t, other.tmp()); len(got) != 0 {
		t.Errorf("left in tmp: %q", got)
	}
}

func TestReadersAndWritersAtOnce(t *testing.T) {
	s := openStore(t, t.TempDir())
	contents := [][]byte{noise(6, 3*chunkSize), noise(7, chunkSize/2), noise(8, 40*chunkSize)}
	s.cache = newCache(8) // smaller than what is read, so that chunks come and go
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			content := contents[worker%len(contents)]
			w, err := s.Create()
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Abort()
			_, _ = w.Write(content)
			b, err := w.Commit()
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := readAll(s, b.Digest); err != nil || !bytes.Equal(got, content) {
				t.Errorf("read back: got %d bytes and %v, want %d", len(got), err, len(content))
			}
			if err := s.Verify(t.Context(), b.Digest); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := s.cache.recent.Len(); got > 8 {
		t.Errorf("cache: got %d chunks, want at most 8", got)
	}
	if got := names(t, s.tmp()); len(got) != 0 {
		t.Errorf("left in tmp: %q", got)
	}
}
