package blob

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

func TestABlobThatIsKnownBeforehandIsTakenForNoOther(t *testing.T) {
	s := openStore(t, t.TempDir())
	want, other := noise(1, 3<<20), noise(2, 3<<20)
	ref := put(t, openStore(t, t.TempDir()), want)
	for name, write := range map[string]func(content []byte) error{
		"written": func(content []byte) error {
			w, err := s.Create()
			if err != nil {
				t.Fatal(err)
			}
			defer w.Abort()
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
			return w.CommitAs(ref)
		},
		"adopted": func(content []byte) error {
			tmp, err := s.TempDir()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tmp.Remove() }()
			path := filepath.Join(tmp.Path(), "x")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			return s.AdoptAs(t.Context(), path, ref)
		},
	} {
		for what, content := range map[string][]byte{"other bytes": other, "cut off": want[:2<<20], "one more": append(noise(1, 3<<20), 0)} {
			if err := write(content); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), ref.Digest.Short()) {
				t.Errorf("%s, %s: got %v, want %v", name, what, err, ErrOther)
			}
			if list, err := s.List(); err != nil || len(list) != 0 {
				t.Errorf("%s, %s: the store holds %v (error %v)", name, what, list, err)
			}
		}
		if err := write(want); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Verify(t.Context(), ref.Digest); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Remove(ref.Digest); err != nil {
			t.Error(err)
		}
		if left := names(t, s.tmp()); len(left) != 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

func TestATempFileTakesItsRoomAtOnce(t *testing.T) {
	s := openStore(t, t.TempDir())
	tmp, err := s.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tmp.Remove() }()
	f, err := tmp.Create("x", 3<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != 3<<20 {
		t.Errorf("got %v, %v, want %d bytes", info, err, 3<<20)
	}
	if _, err := tmp.Create("y", 1<<62); err == nil {
		t.Error("a file larger than any disk was made")
	}
	if left := names(t, tmp.Path()); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAScrubFindsDamageAtItsPace(t *testing.T) {
	s := openStore(t, t.TempDir())
	b := put(t, s, noise(1, 5<<20+100))
	asked := 0
	pace := func(_ context.Context, n int) error {
		asked += n
		return nil
	}
	if err := s.Scrub(t.Context(), b.Digest, pace); err != nil || int64(asked) < b.Size {
		t.Errorf("got %v after asking for %d bytes of %d", err, asked, b.Size)
	}
	enough := errors.New("enough")
	if err := s.Scrub(t.Context(), b.Digest, func(context.Context, int) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want %v", err, enough)
	}
	flipByte(t, s, b, 3<<20+5)
	var corrupt *CorruptError
	if err := s.Scrub(t.Context(), b.Digest, pace); !errors.As(err, &corrupt) || corrupt.Offset != 3<<20 {
		t.Errorf("got %v, want damage at %d", err, 3<<20)
	}
}

func TestWhoeverMeetsDamageTellsOfIt(t *testing.T) {
	s := openStore(t, t.TempDir())
	b := put(t, s, noise(1, 2<<20))
	var met []fleet.Digest
	s.OnCorrupt(func(e *CorruptError) { met = append(met, e.Digest) })
	flipByte(t, s, b, 1<<20)
	if _, err := readAll(s, b.Digest); !errors.Is(err, ErrCorrupt) {
		t.Errorf("read: %v", err)
	}
	if err := s.Verify(t.Context(), b.Digest); !errors.Is(err, ErrCorrupt) {
		t.Errorf("verify: %v", err)
	}
	if err := os.Remove(s.sumsPath(b.Digest)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(b.Digest); !errors.Is(err, ErrCorrupt) {
		t.Errorf("open without sums: %v", err)
	}
	if len(met) != 3 {
		t.Errorf("told of %d of 3: %v", len(met), met)
	}
	if err := s.Misfit(b.Digest, 1<<20+7); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), s.path(b.Digest)) {
		t.Errorf("a misfit is %v", err)
	}
}

func flipByte(t *testing.T, s *Store, b fleet.Blob, at int64) {
	t.Helper()
	if err := os.Chmod(s.path(b.Digest), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(s.path(b.Digest), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 1)
	if _, err := f.ReadAt(p, at); err != nil {
		t.Fatal(err)
	}
	p[0] ^= 1
	if _, err := f.WriteAt(p, at); err != nil {
		t.Fatal(err)
	}
}
