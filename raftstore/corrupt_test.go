package raftstore

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// noElection opens stores that stay as they were.
func noElection(c *Config) {
	smallLog(c)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaseTimeout = time.Hour, time.Hour, time.Hour
	c.SnapshotInterval = time.Hour
}

// writtenDir returns a directory with a log and snapshots.
func writtenDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "raft")
	s := startSingle(t, dir, smallLog)
	mustAdd(t, s.Store, "a", 60)
	for _, n := range []string{"b", "c", "d"} {
		if err := s.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		mustAdd(t, s.Store, n, 5)
	}
	s.stop(t)
	return dir
}

func TestOpenNamesTheDamagedFile(t *testing.T) {
	flip := func(at int64) func(string) error {
		return func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if at < 0 {
				at += int64(len(b))
			}
			b[at] ^= 0x20
			return os.WriteFile(path, b, 0o600)
		}
	}
	for phrase, c := range map[string]struct {
		file   string // a pattern below the directory; its last match is damaged
		damage func(path string) error
		want   string
	}{
		"first meta page of the log":   {"raft.db", flip(16 + 48), "raft.db: corrupt: meta page 0"},
		"second meta page of the log":  {"raft.db", flip(4096 + 16 + 48), "raft.db: corrupt: meta page 1"},
		"a log that is cut off":        {"raft.db", func(p string) error { return os.Truncate(p, 9000) }, "raft.db: corrupt"},
		"an empty log":                 {"raft.db", func(p string) error { return os.Truncate(p, 0) }, "raft.db: corrupt: meta page 0"},
		"a log that is gone":           {"raft.db", os.Remove, "raft.db: corrupt"},
		"state of the newest snapshot": {"snapshots/*/state.bin", flip(-20), "corrupt: CRC mismatch; move it away"},
		"a cut off snapshot":           {"snapshots/*/state.bin", func(p string) error { return os.Truncate(p, 100) }, "corrupt: CRC mismatch; move it away"},
		"facts of the newest snapshot": {"snapshots/*/meta.json", func(p string) error { return replaceIn(p, `"ID":"c1"`, `"ID":"c2"`) }, "do not belong together; move it away"},
		"a snapshot without its state": {"snapshots/*/state.bin", os.Remove, "move it away"},
		"a snapshot without its facts": {"snapshots/*/meta.json", os.Remove, "move it away"},
	} {
		t.Run(phrase, func(t *testing.T) {
			dir := writtenDir(t)
			files, err := filepath.Glob(filepath.Join(dir, c.file))
			if err != nil || len(files) == 0 {
				t.Fatalf("no %s in %s: %v", c.file, dir, err)
			}
			file := files[len(files)-1]
			if err := c.damage(file); err != nil {
				t.Fatal(err)
			}
			s, err := open(dir, "c1", testAuthority(t), noElection)
			if err == nil {
				start(s).stop(t)
			}
			named := filepath.Dir(file)
			if c.file == logFile {
				named = file
			}
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), named) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Open: %v; want one line with %q that names %s", err, c.want, named)
			}
		})
	}
}

func replaceIn(path, old, new string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.ReplaceAll(string(b), old, new)), 0o600)
}

func TestOpenAfterTheCureForADamagedSnapshot(t *testing.T) {
	dir := writtenDir(t)
	s, err := open(dir, "c1", testAuthority(t), noElection)
	if err != nil {
		t.Fatal(err)
	}
	start(s).stop(t)
	want := s.State().Hash()
	found, err := filepath.Glob(filepath.Join(dir, snapshotDir, "*"))
	if err != nil || len(found) != keepSnapshots {
		t.Fatalf("snapshots %q, %v; want %d", found, err, keepSnapshots)
	}
	if err := os.Rename(found[len(found)-1], filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	if s, err = open(dir, "c1", testAuthority(t), noElection); err != nil {
		t.Fatalf("Open after the damaged snapshot was moved away: %v", err)
	}
	start(s).stop(t)
	if got := s.State().Hash(); got != want {
		t.Errorf("state %s, want %s", got, want)
	}
}

// TestAnyFlippedBitIsNoticedOrHarmless flips bits all over the files of a store. Open must then fail for damage, or
// come up with the very state that was there.
func TestAnyFlippedBitIsNoticedOrHarmless(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	origin, dir := writtenDir(t), filepath.Join(t.TempDir(), "raft")
	a := testAuthority(t)
	reopen := func() (string, uint64, error) {
		s, err := open(dir, "c1", a, noElection)
		if err != nil {
			return "", 0, err
		}
		r := start(s)
		defer r.stop(t)
		return s.State().Hash().String(), s.Status().Last, nil
	}
	files := map[string][]byte{}
	err := filepath.WalkDir(origin, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == lockFile {
			return err
		}
		files[strings.TrimPrefix(path, origin)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	restore := func() {
		for name, b := range files {
			if err := errors.Join(os.MkdirAll(filepath.Dir(dir+name), 0o700), os.WriteFile(dir+name, b, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	restore()
	wantHash, wantLast, err := reopen()
	if err != nil {
		t.Fatal(err)
	}
	noticed := 0
	const perFile = 60
	for name, b := range files {
		for range perFile {
			bit := random.IntN(8 * len(b))
			damaged := append([]byte(nil), b...)
			damaged[bit/8] ^= 1 << (bit % 8)
			restore()
			if err := os.WriteFile(dir+name, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			hash, last, err := reopen()
			switch {
			case errors.Is(err, ErrCorrupt):
				noticed++
			case err != nil:
				t.Errorf("bit %d of %s: %v, which does not wrap %v", bit, name, err, ErrCorrupt)
			case hash != wantHash || last != wantLast:
				t.Errorf("bit %d of %s was not noticed: state %s up to %d, want %s up to %d", bit, name, hash, last, wantHash, wantLast)
			}
		}
	}
	t.Logf("noticed %d of %d flipped bits; the others were in unused space", noticed, perFile*len(files))
}
