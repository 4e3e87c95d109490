package raftstore

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// unpack writes the files in an archive to a new directory.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			var b []byte
			if b, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, b, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// startFixture opens a copy of the directory that the former release left behind.
func startFixture(t *testing.T, dir string, change func(*Config)) *running {
	t.Helper()
	stream, err := newTestStream(testAuthority(t), "")
	if err != nil {
		t.Fatal(err)
	}
	stream.advertise = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7600} // as it was; nobody else dials it
	c := fast(Config{Dir: dir, ID: "c1", Address: stream.Addr().String(), Stream: stream})
	if change != nil {
		change(&c)
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	r := start(s)
	if err := r.WaitLeader(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return r
}

func encodeState(t *testing.T, s fleet.State) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func armEntry(names ...string) fleet.Entry {
	return fleet.Entry{Command: fleet.ArmDiscovery{Names: names, Until: time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC)},
		ID: "arm-" + strings.Join(names, "-"), At: time.Date(2026, 1, 2, 3, 30, 0, 0, time.UTC), Who: "test"}
}

func seedingEntry(file string) fleet.Entry {
	return fleet.Entry{Command: fleet.SetCluster{Seeding: &fleet.SetSeeding{PauseFile: &file}}, ID: rand.Text(), At: time.Now(), Who: "test"}
}

func profileEntry() fleet.Entry {
	return fleet.Entry{Command: fleet.Edit{Puts: []fleet.Object{{Profile: &fleet.Profile{Name: "gpu"}}}}, ID: rand.Text(), At: time.Now(), Who: "test"}
}

func sealEntry() fleet.Entry {
	return fleet.Entry{Command: fleet.SealCAKey{Sealed: fleet.Secret("sealed")}, ID: rand.Text(), At: time.Now(), Who: "test"}
}

// awaitRevision waits until a controller has applied a revision.
func awaitRevision(t *testing.T, s *Store, r fleet.Revision) {
	t.Helper()
	if _, err := s.Wait(testContext(t), r-1); err != nil {
		t.Fatal(err)
	}
}

// TestStatesOfFormersGoOn opens what former releases left, and uses what came with this one.
func TestStatesOfFormersGoOn(t *testing.T) {
	for _, former := range []string{"format1", "format2", "format3"} {
		t.Run(former, func(t *testing.T) {
			dir := filepath.Join(unpack(t, "testdata/"+former+"/raft.tar.gz"), "raft")
			want, err := os.ReadFile("testdata/" + former + "/state.jsonl")
			if err != nil {
				t.Fatal(err)
			}
			r := startFixture(t, dir, func(c *Config) { c.StewardInterval = time.Hour })
			if got := encodeState(t, r.State()); got != string(want) {
				t.Errorf("state of the former release:\n%s\nwant:\n%s", got, want)
			}
			// The stewards raise the format in a cluster; here nobody was asked yet.
			if _, err := r.Propose(testContext(t), fleet.Entry{Command: fleet.SetFormat{Format: fleet.Format}, At: time.Now(), Who: "test"}); err != nil {
				t.Fatal(err)
			}
			add := addNode("spare")
			add.Command = fleet.AddNodes{Nodes: []fleet.Node{{Name: "spare", Settings: fleet.Settings{Interfaces: []fleet.Interface{{Name: "default", IP: netip.MustParseAddr("10.1.0.99")}}}}}}
			add.ID = "add-spare"
			added, err := r.Propose(testContext(t), add)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Propose(testContext(t), armEntry("spare")); err != nil {
				t.Errorf("a command of format 2: %v", err)
			}
			if _, err := r.Propose(testContext(t), seedingEntry("/run/job")); err != nil {
				t.Errorf("a command of format 3: %v", err)
			}
			if _, err := r.Propose(testContext(t), profileEntry()); err != nil {
				t.Errorf("a command of format 4: %v", err)
			}
			before := r.State()
			r.stop(t)
			r = startFixture(t, dir, nil)
			defer r.stop(t)
			if got, want := encodeState(t, r.State()), encodeState(t, before); got != want {
				t.Errorf("state after a restart:\n%s\nwant:\n%s", got, want)
			}
			if again, err := r.Propose(testContext(t), add); again != added || err != nil {
				t.Errorf("an id from before the restart: revision %d, %v; want %d", again, err, added)
			}
		})
	}
}

func TestFormerReleasesDoNotOpenANewerSnapshot(t *testing.T) {
	dir := t.TempDir()
	r := startSingle(t, dir, smallLog)
	initCluster(t, r.Store, fleet.Format, map[string]string{"c1": r.config.Address})
	for i := 0; r.Status().Snapshot == 0; i++ {
		mustAdd(t, r.Store, fmt.Sprintf("n%d-", i), 1)
	}
	r.stop(t)
	for former := 1; former < fleet.Format; former++ {
		s, err := open(dir, "c1", testAuthority(t), func(c *Config) { c.Format = former })
		if err == nil {
			start(s).stop(t)
		}
		if err == nil || !strings.Contains(err.Error(), "upgrade samara") {
			t.Errorf("open a newer state with a release of format %d: %v; want the cure", former, err)
		}
	}
}

// A former is what a test does to a cluster in the format of a former release.
type former struct {
	format int
	newer  func() fleet.Entry               // what only the next format has
	check  func(*testing.T, *Store, string) // the state, before the format is raised
}

func formers() map[string]former {
	return map[string]former{
		"format 1": {1, sealEntry, func(t *testing.T, s *Store, id string) {
			if _, known := s.State().Outcome(id); known {
				t.Error("a state of format 1 remembers an id")
			}
		}},
		"format 2": {2, func() fleet.Entry { return seedingEntry("/run/job") }, func(t *testing.T, s *Store, id string) {
			if _, known := s.State().Outcome(id); !known {
				t.Error("a state of format 2 does not remember an id")
			}
		}},
		"format 3": {3, profileEntry, func(t *testing.T, s *Store, id string) {
			for range s.State().History() {
				t.Error("a state of format 3 has a history")
			}
		}},
	}
}

func TestControllerOfAFormerFormatInItsCluster(t *testing.T) {
	for name, f := range formers() {
		t.Run(name, func(t *testing.T) { testFormer(t, f) })
	}
}

func testFormer(t *testing.T, f former) {
	b := newBoard()
	g := newGroup(t, 3, func(c *Config) {
		fastElections(c)
		c.Peer = b.peer(c.Address)
		c.StewardInterval = time.Hour // formats are raised here by hand
		if c.ID == "c3" {
			c.Format = f.format
		}
	})
	b.addAll(g)
	revision := initCluster(t, g.leader().Store, f.format, g.addrs)
	add := addNode("n1")
	add.ID = "with-an-id"
	for id, r := range g.stores {
		awaitRevision(t, r.Store, revision) // a controller writes in the format of what it has applied
		if _, err := r.Propose(testContext(t), f.newer()); !errors.Is(err, fleet.ErrFormat) {
			t.Errorf("a command of the next format by %s: %v, want %v", id, err, fleet.ErrFormat)
		}
		_, err := r.Propose(testContext(t), add) // format 1 has no ids: there the second is another entry
		if err != nil && (f.format > 1 || !errors.Is(err, fleet.ErrExists)) {
			t.Errorf("a command of the format by %s: %v", id, err)
		}
	}
	f.check(t, g.stores["c1"].Store, add.ID)
	old := g.stores["c3"]
	delete(g.stores, "c3")
	revision, err := g.stores["c1"].Propose(testContext(t), fleet.Entry{Command: fleet.SetFormat{Format: f.format + 1}, At: time.Now(), Who: "test"})
	if err != nil {
		t.Fatalf("raise the format: %v", err)
	}
	if err := awaitRun(t, old); !errors.Is(err, fleet.ErrUndecodable) || !strings.Contains(err.Error(), "upgrade samara") {
		t.Errorf("the controller of the former format met a newer entry: %v; want %v and the cure", err, fleet.ErrUndecodable)
	}
	awaitRevision(t, g.stores["c2"].Store, revision)
	if _, err := g.stores["c2"].Propose(testContext(t), f.newer()); err != nil {
		t.Errorf("the others: %v", err)
	}
}
