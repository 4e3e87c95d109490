package blob

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

// damage changes the file of a blob or of its sums in place.
func damage(t *testing.T, path string, change func(f *os.File) error) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrPermission) {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := change(f); err != nil {
		t.Fatal(err)
	}
}

func flip(off int64) func(*os.File) error {
	return func(f *os.File) error {
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, off); err != nil {
			return err
		}
		b[0] ^= 0x10
		_, err := f.WriteAt(b, off)
		return err
	}
}

func cut(size int64) func(*os.File) error { return func(f *os.File) error { return f.Truncate(size) } }

func TestDamagedBlobIsNeverServed(t *testing.T) {
	const size = 4*chunkSize + 10
	remove := func(f *os.File) error { return os.Remove(f.Name()) }
	nothing := func(*os.File) error { return nil }
	for name, c := range map[string]struct {
		blob, sums func(*os.File) error
		offset     int64
	}{
		"first byte flipped":               {flip(0), nothing, 0},
		"middle byte flipped":              {flip(2*chunkSize + 5), nothing, 2 * chunkSize},
		"last byte flipped":                {flip(size - 1), nothing, 4 * chunkSize},
		"cut short":                        {cut(chunkSize + 3), nothing, chunkSize},
		"cut at a chunk":                   {cut(2 * chunkSize), nothing, 2 * chunkSize},
		"emptied":                          {cut(0), nothing, 0},
		"grown":                            {cut(size + 1), nothing, 4 * chunkSize},
		"grown by chunks":                  {cut(7 * chunkSize), nothing, 4 * chunkSize},
		"flipped, sums gone":               {flip(5), remove, -1},
		"flipped, sums torn":               {flip(5), cut(100), -1},
		"flipped, sums flipped":            {flip(5), flip(60), -1},
		"flipped, sums' own sum flipped":   {flip(5), flip(8 + 32 + 8 + 5*32 + 3), -1},
		"cut, sums gone":                   {cut(chunkSize), remove, -1},
		"flipped in a later chunk as well": {func(f *os.File) error { return errors.Join(flip(3*chunkSize)(f), flip(chunkSize)(f)) }, nothing, chunkSize},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			content := noise(1, size)
			b := put(t, s, content)
			damage(t, s.path(b.Digest), c.blob)
			damage(t, s.sumsPath(b.Digest), c.sums)

			got, err := readAll(s, b.Digest)
			if !bytes.HasPrefix(content, got) {
				t.Errorf("%d bytes were served, wrong ones among them", len(got))
			}
			wantCorrupt(t, s, "read", err, b.Digest, c.offset)
			wantCorrupt(t, s, "Verify", s.Verify(t.Context(), b.Digest), b.Digest, c.offset)

			put(t, s, content)
			if got, err := readAll(s, b.Digest); err != nil || !bytes.Equal(got, content) {
				t.Errorf("after it was imported again: got %d bytes and %v", len(got), err)
			}
		})
	}
}

func wantCorrupt(t *testing.T, s *Store, what string, err error, d fleet.Digest, offset int64) {
	t.Helper()
	var corrupt *CorruptError
	if !errors.Is(err, ErrCorrupt) || !errors.As(err, &corrupt) {
		t.Errorf("%s: got %v, want ErrCorrupt", what, err)
		return
	}
	if want := (CorruptError{s.path(d), d, offset}); *corrupt != want {
		t.Errorf("%s: got %+v, want %+v", what, *corrupt, want)
	}
	for _, part := range []string{s.path(d), "delete the file", "samara image import"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %q does not say %q", what, err, part)
		}
	}
}

func TestBlobDamagedUnderAnOpenReaderIsNotServed(t *testing.T) {
	for name, change := range map[string]func(*os.File) error{"flipped": flip(chunkSize + 1), "cut": cut(chunkSize + 1)} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			b := put(t, s, noise(1, 2*chunkSize))
			r, err := s.Open(b.Digest)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			damage(t, s.path(b.Digest), change)
			n, err := r.ReadAt(make([]byte, 100), chunkSize-50)
			if n != 50 {
				t.Errorf("got %d bytes, want the 50 before the damage", n)
			}
			wantCorrupt(t, s, "ReadAt", err, b.Digest, chunkSize)
		})
	}
}

func TestLostSumsAreRebuilt(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, s *Store, path string){
		"gone":   func(t *testing.T, _ *Store, path string) { must(t, os.Remove(path)) },
		"empty":  func(t *testing.T, _ *Store, path string) { damage(t, path, cut(0)) },
		"torn":   func(t *testing.T, _ *Store, path string) { damage(t, path, cut(70)) },
		"rotten": func(t *testing.T, _ *Store, path string) { damage(t, path, flip(50)) },
		"of another blob": func(t *testing.T, s *Store, path string) {
			other := put(t, s, noise(9, 2*chunkSize))
			must(t, os.Rename(s.sumsPath(other.Digest), path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			content := noise(1, 2*chunkSize)
			b := put(t, s, content)
			change(t, s, s.sumsPath(b.Digest))
			if got, err := readAll(s, b.Digest); err != nil || !bytes.Equal(got, content) {
				t.Fatalf("got %d bytes and %v", len(got), err)
			}
			if got, err := s.loadSums(b.Digest); err != nil || got.blob != b {
				t.Errorf("rebuilt sums: got %v and %v", got.blob, err)
			}
			if got := names(t, s.tmp()); len(got) != 0 {
				t.Errorf("left in tmp: %q", got)
			}
		})
	}
}

func TestFileUnderAWrongNameIsCorrupt(t *testing.T) {
	s := openStore(t, t.TempDir())
	one, two := put(t, s, noise(1, chunkSize)), put(t, s, noise(2, chunkSize))
	must(t, os.Rename(s.path(one.Digest), s.path(two.Digest)))
	must(t, os.Rename(s.sumsPath(one.Digest), s.sumsPath(two.Digest)))
	_, err := readAll(s, two.Digest)
	wantCorrupt(t, s, "read", err, two.Digest, -1)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func FuzzDecodeSums(f *testing.F) {
	h := newHasher()
	_, _ = h.Write(noise(1, 2*chunkSize+1))
	f.Add(h.sums().encode())
	f.Add(newHasher().sums().encode())
	f.Add([]byte(sumsMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := decodeSums(b); err == nil && !bytes.Equal(got.encode(), b) {
			t.Errorf("%x decodes to %v, which encodes otherwise", b, got)
		}
	})
}

func TestWhoReadsTheFileItselfCanTellOfDamage(t *testing.T) {
	s := openStore(t, t.TempDir())
	content := noise(9, 2<<20+5)
	b := put(t, s, content)
	r, err := s.Open(b.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make([]byte, len(content))
	if _, err := r.File().ReadAt(got, 0); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file differs from the blob (%v)", err)
	}
	var told *CorruptError
	s.OnCorrupt(func(e *CorruptError) { told = e })
	err = r.Misfit(1<<20 + 7)
	if !errors.Is(err, ErrCorrupt) || told == nil || told.Digest != b.Digest || told.Offset != 1<<20 || told.Path != s.path(b.Digest) {
		t.Errorf("got %v, told %+v", err, told)
	}
}
