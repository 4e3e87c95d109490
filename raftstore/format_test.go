package raftstore

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
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

func TestStateOfFormat1GoesOn(t *testing.T) {
	dir := filepath.Join(unpack(t, "testdata/format1/raft.tar.gz"), "raft")
	want, err := os.ReadFile("testdata/format1/state.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	r := startFixture(t, dir, nil)
	if got := encodeState(t, r.State()); got != string(want) {
		t.Errorf("state of the former release:\n%s\nwant:\n%s", got, want)
	}
	// The stewards raise the format in a cluster; here nobody was asked yet.
	if r.State().Format() == 1 {
		if _, err := r.Propose(testContext(t), fleet.Entry{Command: fleet.SetFormat{Format: 2}, At: time.Now(), Who: "test"}); err != nil && !fleet.IsRefusal(err) {
			t.Fatal(err)
		}
	}
	add := addNode("spare")
	add.Command = fleet.AddNodes{Nodes: []fleet.Node{{Name: "spare", Interfaces: []fleet.Interface{{Name: "default", IP: netip.MustParseAddr("10.1.0.99")}}}}}
	add.ID = "add-spare"
	added, err := r.Propose(testContext(t), add)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Propose(testContext(t), armEntry("spare")); err != nil {
		t.Errorf("a command of format 2: %v", err)
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
}

func TestReleaseOfFormat1DoesNotOpenANewerSnapshot(t *testing.T) {
	dir := t.TempDir()
	r := startSingle(t, dir, smallLog)
	initCluster(t, r.Store, 2, map[string]string{"c1": r.config.Address})
	for i := 0; r.Status().Snapshot == 0; i++ {
		mustAdd(t, r.Store, fmt.Sprintf("n%d-", i), 1)
	}
	r.stop(t)
	s, err := open(dir, "c1", testAuthority(t), func(c *Config) { c.Format = 1 })
	if err == nil {
		start(s).stop(t)
	}
	if err == nil || !strings.Contains(err.Error(), "upgrade samara") {
		t.Errorf("open a newer state with a release of format 1: %v; want the cure", err)
	}
}

func TestControllerOfFormat1InItsCluster(t *testing.T) {
	b := newBoard()
	g := newGroup(t, 3, func(c *Config) {
		fastElections(c)
		c.Peer = b.peer(c.Address)
		c.StewardInterval = time.Hour // formats are raised here by hand
		if c.ID == "c3" {
			c.Format = 1
		}
	})
	b.addAll(g)
	initCluster(t, g.leader().Store, 1, g.addrs)
	add := addNode("n1")
	add.ID = "with-an-id"
	for id, r := range g.stores {
		if _, err := r.Propose(testContext(t), armEntry("n1")); !errors.Is(err, fleet.ErrFormat) {
			t.Errorf("a command of format 2 by %s: %v, want %v", id, err, fleet.ErrFormat)
		}
		_, err := r.Propose(testContext(t), add) // format 1 has no ids: the second is another entry
		if err != nil && !errors.Is(err, fleet.ErrExists) {
			t.Errorf("a command of format 1 by %s: %v", id, err)
		}
	}
	if _, known := g.stores["c1"].State().Outcome(add.ID); known {
		t.Error("a state of format 1 remembers an id")
	}
	old := g.stores["c3"]
	delete(g.stores, "c3")
	if _, err := g.stores["c1"].Propose(testContext(t), fleet.Entry{Command: fleet.SetFormat{Format: 2}, At: time.Now(), Who: "test"}); err != nil {
		t.Fatalf("raise the format: %v", err)
	}
	if err := awaitRun(t, old); !errors.Is(err, fleet.ErrUndecodable) || !strings.Contains(err.Error(), "upgrade samara") {
		t.Errorf("the controller of format 1 met a newer entry: %v; want %v and the cure", err, fleet.ErrUndecodable)
	}
	if _, err := g.stores["c2"].Propose(testContext(t), add); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("the others: %v; want %v", err, fleet.ErrExists)
	}
}
