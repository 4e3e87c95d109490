package raftstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/samara-hpc/samara/fleet"
)

// survivor returns the directory of one controller of three, which holds nodes that were acknowledged, and the state
// that it knew. An entry more stands in its log alone.
func survivor(t *testing.T, change func(*Config)) (c *crew, id string, state fleet.State) {
	t.Helper()
	c = newCrew(t, 3, change)
	for i := range 60 {
		c.add(fmt.Sprintf("a%d", i))
	}
	c.agree(c.add("b"))
	last := c.leader()
	id = last.config.ID
	for other := range c.stores {
		if other != id {
			c.cut(other).stop(t)
		}
	}
	if rev, err := last.Propose(testContext(t), addNode("uncommitted")); err == nil {
		t.Fatalf("a change was committed without a majority, at revision %d", rev)
	}
	c.kill(id)
	return c, id, last.State()
}

// recoverIn recovers a controller of c in a directory.
func (c *crew) recoverIn(dir, id string, wrap func(disk) disk) (Summary, error) {
	return Recover(RecoverOptions{Dir: dir, ID: id, Address: c.addrs[id], wrapDisk: wrap})
}

func TestOneSurvivorGoesOnAloneAndIsJoined(t *testing.T) {
	for phrase, change := range map[string]func(*Config){"with a log": nil, "with a snapshot": smallLog} {
		t.Run(phrase, func(t *testing.T) {
			c, id, before := survivor(t, change)
			found, err := Inspect(c.dirs[id])
			if err != nil || len(found.Voters) != 3 || found.Revision > before.Revision() || found.Term == 0 {
				t.Errorf("before: %+v, %v", found, err)
			}
			sum, err := c.recoverIn(c.dirs[id], id, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(sum.Voters) != 1 || sum.Voters[0] != id || sum.Revision <= before.Revision() || sum.Term <= found.Term {
				t.Errorf("recovered: %+v, was %+v", sum, found)
			}
			cluster, _ := sum.State.Cluster()
			if len(cluster.Controllers) != 1 || cluster.Controllers[0].ID != id {
				t.Errorf("the state lists the controllers %+v, want %s alone", cluster.Controllers, id)
			}
			for n := range before.Nodes() {
				if got, ok := sum.State.Node(n.Name); !ok || got.Revision != n.Revision {
					t.Errorf("node %s of revision %d: found %t, of revision %d", n.Name, n.Revision, ok, got.Revision)
				}
			}
			c.revive(id)
			if rev := c.add("c"); rev <= sum.Revision {
				t.Errorf("a new change has revision %d, recovered at %d", rev, sum.Revision)
			}
			c.join("c8")
			c.join("c9")
			c.settled()
			c.agree(c.add("d"))
			c.kill(id) // the new ones hold everything
			c.agree(c.add("e"))
			c.revive(id)
			c.agree(c.add("f"))
		})
	}
}

func TestSurvivorKeepsEntriesOfUnknownOutcome(t *testing.T) {
	c, id, _ := survivor(t, nil)
	sum, err := c.recoverIn(c.dirs[id], id, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := sum.State.Node("uncommitted"); !ok {
		t.Error("an entry in the log was dropped")
	}
}

// copyDir copies the files of a store.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "raft")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestRecoveryIsAllOrNothing takes a picture of the directory before and after each write of a recovery, and one with
// the snapshot half written: a store opened on any of them must be what it was, or recovered.
func TestRecoveryIsAllOrNothing(t *testing.T) {
	c, id, before := survivor(t, smallLog)
	dir := c.dirs[id]
	pictures := []string{}
	take := func() error {
		pictures = append(pictures, copyDir(t, dir))
		return nil
	}
	sum, err := c.recoverIn(dir, id, func(d disk) disk { return &faultyDisk{disk: d, fault: take} })
	if err != nil {
		t.Fatal(err)
	}
	_ = take()
	pictures = append(pictures, halfWritten(t, pictures[0], dir))
	old, recovered := 0, 0
	for i, picture := range pictures {
		found, err := Inspect(picture)
		if err != nil {
			t.Fatalf("picture %d: %v", i, err)
		}
		switch {
		case len(found.Voters) == 3 && found.Revision <= before.Revision():
			old++
		case len(found.Voters) == 1 && found.State.Hash() == sum.State.Hash():
			recovered++
		default:
			t.Errorf("picture %d: voters %q at revision %d, neither before nor after", i, found.Voters, found.Revision)
		}
		// Whatever it is, the recovery can be done, or done again.
		again, err := c.recoverIn(picture, id, nil)
		if err != nil || len(again.Voters) != 1 || again.State.CountNodes() != sum.State.CountNodes() {
			t.Errorf("picture %d, recovered again: %+v, %v", i, again, err)
		}
		s := openAlone(t, c, picture, id)
		mustAdd(t, s.Store, "z", 2)
		s.stop(t)
	}
	if old < 2 || recovered < 2 {
		t.Errorf("of %d pictures %d were from before and %d from after, want some of each", len(pictures), old, recovered)
	}
}

// halfWritten returns a copy of old with a snapshot from recovered under the name of one that is being written.
func halfWritten(t *testing.T, old, recovered string) string {
	t.Helper()
	to := copyDir(t, old)
	names, err := filepath.Glob(filepath.Join(recovered, snapshotDir, "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("snapshots %q, %v", names, err)
	}
	for _, name := range names {
		path := filepath.Join(to, snapshotDir, filepath.Base(name))
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := errors.Join(os.CopyFS(path+unfinished, os.DirFS(name)), os.Truncate(filepath.Join(path+unfinished, "state.bin"), 10)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// openAlone opens a recovered store and waits until it leads.
func openAlone(t *testing.T, c *crew, dir, id string) *running {
	t.Helper()
	stream, err := newTestStream(c.a, c.addrs[id])
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(fast(Config{Dir: dir, ID: id, Address: c.addrs[id], Stream: stream}))
	if err != nil {
		t.Fatal(err)
	}
	r := start(s)
	if err := r.WaitLeader(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecoveryOnAFullDiskChangesNothing(t *testing.T) {
	c, id, _ := survivor(t, nil)
	before, err := Inspect(c.dirs[id])
	if err != nil {
		t.Fatal(err)
	}
	full := func(d disk) disk { return &faultyDisk{disk: d, fault: func() error { return syscall.ENOSPC }} }
	if _, err := c.recoverIn(c.dirs[id], id, full); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Recover: %v, want %v", err, syscall.ENOSPC)
	}
	after, err := Inspect(c.dirs[id])
	if err != nil || after.State.Hash() != before.State.Hash() || len(after.Voters) != 3 {
		t.Errorf("after: %+v, %v; before: %+v", after, err, before)
	}
}

func TestOfflineToolsSayWhyNot(t *testing.T) {
	open := startSingle(t, filepath.Join(t.TempDir(), "raft"), nil)
	t.Cleanup(func() { open.stop(t) })
	initCluster(t, open.Store, fleet.Format, map[string]string{"c1": "127.0.0.1:7600"})
	state := open.State()
	held := filepath.Join(t.TempDir(), "raft")
	if err := Seed(held, state, "c1", "127.0.0.1:7600"); err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(t.TempDir(), "gone")
	recovering := func(dir, id string) error {
		_, err := Recover(RecoverOptions{Dir: dir, ID: id, Address: "127.0.0.1:7600"})
		return err
	}
	inspecting := func(dir string) error {
		_, err := Inspect(dir)
		return err
	}
	for phrase, c := range map[string]struct{ got, want error }{
		"inspect a directory that is not there": {inspecting(gone), ErrNoState},
		"inspect an empty directory":            {inspecting(t.TempDir()), ErrNoState},
		"inspect an open store":                 {inspecting(open.config.Dir), ErrBusy},
		"recover a directory that is not there": {recovering(gone, "c1"), ErrNoState},
		"recover an open store":                 {recovering(open.config.Dir, "c1"), ErrBusy},
		"recover as another":                    {recovering(held, "c2"), fleet.ErrNotFound},
		"seed a store":                          {Seed(held, state, "c1", "127.0.0.1:7600"), ErrHasState},
		"seed an open store":                    {Seed(open.config.Dir, state, "c1", "127.0.0.1:7600"), ErrBusy},
		"seed for a stranger":                   {Seed(gone, state, "c2", "127.0.0.1:7600"), fleet.ErrNotFound},
		"seed without a cluster":                {Seed(gone, fleet.State{}, "c1", "127.0.0.1:7600"), fleet.ErrNotFound},
	} {
		if !errors.Is(c.got, c.want) || strings.Contains(fmt.Sprint(c.got), "\n") {
			t.Errorf("%s: %v, want %v", phrase, c.got, c.want)
		}
	}
}

func TestInspectChangesNothing(t *testing.T) {
	dir := writtenDir(t)
	read := func() map[string]string {
		files := map[string]string{}
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			b, err := os.ReadFile(path)
			files[path] = fmt.Sprint(info.ModTime(), bytes.Clone(b))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	before := read()
	sum, err := Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	after := read()
	if len(after) != len(before) {
		t.Errorf("%d files, were %d", len(after), len(before))
	}
	for path := range before {
		if before[path] != after[path] {
			t.Errorf("%s has changed", path)
		}
	}
	s, err := open(dir, "c1", testAuthority(t), noElection)
	if err != nil {
		t.Fatal(err)
	}
	start(s).stop(t)
	if sum.State.Hash() != s.State().Hash() || sum.Last != s.Status().Last || sum.Revision != s.State().Revision() {
		t.Errorf("Inspect: %+v, Open: %+v", sum, s.Status())
	}
}

func TestSeededStoreGoesOnFromTheState(t *testing.T) {
	origin := newCrew(t, 2, nil)
	origin.agree(origin.add("a"))
	state := origin.leader().State()
	seeded := &crew{board: newBoard()}
	seeded.group = &group{t: t, a: origin.a, stores: map[string]*running{}, dirs: map[string]string{}, addrs: map[string]string{}}
	seeded.change = func(c *Config) {
		origin.change(c)
		c.Peer = seeded.board.peer(c.Address)
	}
	t.Cleanup(func() {
		for _, r := range seeded.stores {
			r.stop(t)
		}
	})
	origin.kill("c2")
	seeded.dirs["c2"], seeded.addrs["c2"] = filepath.Join(t.TempDir(), "new", "raft"), origin.addrs["c2"]
	if err := Seed(seeded.dirs["c2"], state, "c2", origin.addrs["c2"]); err != nil {
		t.Fatal(err)
	}
	has, err := HasState(seeded.dirs["c2"])
	if !has || err != nil {
		t.Errorf("HasState = %t, %v, want true", has, err)
	}
	seeded.launch("c2")
	if rev := seeded.add("b"); rev <= state.Revision() {
		t.Errorf("a new change has revision %d, seeded at %d", rev, state.Revision())
	}
	seeded.join("c3")
	seeded.join("c4")
	seeded.settled()
	seeded.agree(seeded.add("c"))
	if _, ok := seeded.stores["c4"].State().Node("a"); !ok {
		t.Error("a node of the seed is missing")
	}
	if members := seeded.leader().Members(); len(members) != 3 {
		t.Errorf("members %s, want c2 c3 c4", spell(members))
	}
}

func TestRecoveredEntriesCannotBeMistakenForLostOnes(t *testing.T) {
	c, id, _ := survivor(t, nil)
	before, err := Inspect(c.dirs[id])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.recoverIn(c.dirs[id], id, nil); err != nil {
		t.Fatal(err)
	}
	bolt, err := openBolt(filepath.Join(c.dirs[id], logFile))
	if err != nil {
		t.Fatal(err)
	}
	defer bolt.Close()
	last, err := bolt.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	var l raft.Log
	if err := bolt.GetLog(last, &l); err != nil {
		t.Fatal(err)
	}
	if last <= before.Last || l.Term < before.Term+termsAhead {
		t.Errorf("the log ends at entry %d of term %d; it ended at %d in term %d", last, l.Term, before.Last, before.Term)
	}
}
