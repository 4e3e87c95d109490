package raftstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/samara-hpc/samara/fleet"
)

// A group is several controllers in one process, over TLS on loopback.
type group struct {
	t      *testing.T
	a      *authority
	stores map[string]*running
	dirs   map[string]string
	addrs  map[string]string
	change func(*Config)
}

// newGroup starts controllers c1 to cN and makes them all voters.
func newGroup(t *testing.T, n int, change func(*Config)) *group {
	t.Helper()
	g := &group{t: t, a: testAuthority(t), stores: map[string]*running{}, dirs: map[string]string{}, addrs: map[string]string{}, change: change}
	for i := range n {
		id := fmt.Sprintf("c%d", i+1)
		g.dirs[id] = t.TempDir()
		g.start(id)
	}
	t.Cleanup(func() {
		for _, r := range g.stores {
			r.stop(t)
		}
	})
	first := g.stores["c1"]
	if err := first.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Leading(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for id, addr := range g.addrs {
		if id == "c1" {
			continue
		}
		g.addVoter(id, addr)
	}
	return g
}

// addVoter asks whoever leads, again and again: on a busy machine a leader may lose its majority for a moment.
func (g *group) addVoter(id, addr string) {
	g.t.Helper()
	err := errors.New("not tried")
	for ctx := testContext(g.t); err != nil; {
		if ctx.Err() != nil {
			g.t.Fatalf("add voter %s: %v", id, err)
		}
		err = g.leader().raft.AddVoter(raft.ServerID(id), raft.ServerAddress(addr), 0, 10*time.Second).Error()
	}
}

// start opens a controller, at its former address if it had one. Each has a host of its own.
func (g *group) start(id string) *running {
	g.t.Helper()
	if g.addrs[id] == "" {
		g.addrs[id] = "127.0.0." + strings.TrimPrefix(id, "c") + ":0"
	}
	address := g.addrs[id]
	if address == "" {
		address = "127.0.0." + strings.TrimPrefix(id, "c") + ":0" // controllers have hosts of their own
	}
	stream, err := newTestStream(g.a, address)
	if err != nil {
		g.t.Fatal(err)
	}
	g.addrs[id] = stream.Addr().String()
	c := Config{Dir: g.dirs[id], ID: id, Address: g.addrs[id], Stream: stream}
	if g.change != nil {
		g.change(&c)
	}
	s, err := Open(c)
	if err != nil {
		g.t.Fatal(err)
	}
	g.stores[id] = start(s)
	return g.stores[id]
}

// stop closes a controller in order.
func (g *group) stop(id string) {
	g.t.Helper()
	g.stores[id].stop(g.t)
	delete(g.stores, id)
}

// add proposes a node to whoever leads, again and again until it is in.
func (g *group) add(name string) fleet.Revision {
	g.t.Helper()
	ctx := testContext(g.t)
	for ctx.Err() == nil {
		for _, r := range g.stores {
			if err := r.WaitLeader(ctx); err != nil {
				g.t.Fatalf("no leader: %v", err)
			}
			rev, err := r.Propose(ctx, addNode(name))
			switch {
			case err == nil:
				return rev
			case errors.Is(err, fleet.ErrExists): // an earlier try, whose outcome was unknown
				n, _ := r.State().Node(name)
				return n.Revision
			case !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrUncertain):
				g.t.Fatalf("propose %s: %v", name, err)
			}
		}
	}
	g.t.Fatalf("propose %s: %v", name, ctx.Err())
	return 0
}

// leader returns the controller that leads.
func (g *group) leader() *running {
	g.t.Helper()
	ctx, cancel := context.WithCancel(testContext(g.t))
	defer cancel()
	first := make(chan *running, len(g.stores))
	for _, r := range g.stores {
		go func() {
			if _, err := r.Leading(ctx); err == nil {
				first <- r
			}
		}()
	}
	select {
	case r := <-first:
		return r
	case <-ctx.Done():
		g.t.Fatal("no leader")
		return nil
	}
}

// agree waits until all have reached rev, and checks that states of one revision are one.
func (g *group) agree(rev fleet.Revision) {
	g.t.Helper()
	hashes := map[fleet.Revision]fleet.Digest{}
	for id, r := range g.stores {
		state, err := r.Wait(testContext(g.t), rev-1)
		if err != nil {
			g.t.Fatalf("controller %s has not reached revision %d: %v", id, rev, err)
		}
		hash, known := hashes[state.Revision()]
		if known && state.Hash() != hash {
			g.t.Errorf("controller %s at revision %d has another state than its peers", id, state.Revision())
		}
		hashes[state.Revision()] = state.Hash()
	}
}

func TestThreeControllersReplicateAndFailOver(t *testing.T) {
	g := newGroup(t, 3, nil)
	for i := range 20 {
		g.agree(g.add(fmt.Sprintf("a%d", i)))
	}
	old := g.leader()
	id := old.config.ID
	reign, err := old.Leading(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	g.stop(id)
	if reign.Err() == nil {
		t.Error("the reign of a controller that stopped goes on")
	}
	rev := g.add("b")
	g.agree(rev)
	if leader := g.leader().config.ID; leader == id {
		t.Errorf("controller %s leads, which was stopped", id)
	}
	g.start(id)
	g.agree(g.add("c"))
	for _, r := range g.stores {
		if st := r.Status(); len(r.Members()) != 3 || st.Leader == "" {
			t.Errorf("status of %s: %+v", st.ID, st)
		}
	}
}

func TestFollowerSaysWhoLeads(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.agree(g.add("a"))
	leader := g.leader().config.ID
	for id, r := range g.stores {
		if id == leader {
			continue
		}
		_, err := r.Propose(testContext(t), addNode("b"))
		if want := "controller " + leader + " does"; !errors.Is(err, ErrNotLeader) || r.Status().Leader != leader {
			t.Errorf("propose to %s: %v; want %v: %s", id, err, ErrNotLeader, want)
		}
	}
}

func TestMinorityRefusesChangesAndKeepsItsState(t *testing.T) {
	g := newGroup(t, 3, nil)
	rev := g.add("a")
	g.agree(rev)
	last := g.leader()
	for id := range g.stores {
		if id != last.config.ID {
			_ = g.stores[id].config.Stream.Close() // as if its cable were cut
		}
	}
	_, err := last.Propose(testContext(t), addNode("b"))
	if !errors.Is(err, ErrUncertain) && !errors.Is(err, ErrNotLeader) {
		t.Errorf("propose without a majority: %v, want %v or %v", err, ErrUncertain, ErrNotLeader)
	}
	if _, ok := last.State().Node("a"); !ok {
		t.Error("the state is gone with the majority")
	}
	for id := range g.stores {
		g.stop(id)
	}
	// Started again alone, it still knows what was committed.
	alone := g.start(last.config.ID)
	if _, ok := alone.State().Node("a"); !ok {
		t.Error("the state is gone with a restart without a majority")
	}
}

func TestFollowerThatMissedALotGetsASnapshot(t *testing.T) {
	g := newGroup(t, 3, smallLog)
	g.agree(g.add("a"))
	behind := ""
	for id := range g.stores {
		if id != g.leader().config.ID {
			behind = id
		}
	}
	g.stop(behind)
	missed := uint64(g.add("b"))
	for i := 0; ; i++ { // until the log no longer holds what it missed
		g.add(fmt.Sprintf("c%d", i))
		if first, err := g.leader().journal.FirstIndex(); err != nil {
			t.Fatal(err)
		} else if first > missed+1 {
			break
		}
	}
	g.start(behind)
	g.agree(g.add("d"))
	if g.stores[behind].Status().Snapshot == 0 {
		t.Error("the follower caught up without a snapshot")
	}
	g.stop(behind) // and it can start from what it was sent
	g.start(behind)
	g.agree(g.add("e"))
}

func TestLeaderWithAStalledDiskIsReplaced(t *testing.T) {
	var stalled atomic.Pointer[string] // id of the controller whose disk hangs
	release := make(chan struct{})
	g := newGroup(t, 3, func(c *Config) {
		id := c.ID
		c.WriteTimeout = 300 * time.Millisecond
		c.wrapDisk = func(d disk) disk {
			return &faultyDisk{disk: d, fault: func() error {
				if p := stalled.Load(); p != nil && *p == id {
					<-release
				}
				return nil
			}}
		}
	})
	g.agree(g.add("a"))
	old := g.leader()
	id := old.config.ID
	stalled.Store(&id)
	if _, err := old.Propose(testContext(t), addNode("b")); !errors.Is(err, ErrUncertain) {
		t.Errorf("propose to a leader whose disk hangs: %v, want %v", err, ErrUncertain)
	}
	delete(g.stores, id)
	g.agree(g.add("c")) // the others go on
	close(release)
	if err := awaitRun(t, old); !errors.Is(err, errStalled) {
		t.Errorf("Run of the stalled leader: %v, want %v", err, errStalled)
	}
	stalled.Store(nil)
	g.start(id)
	g.agree(g.add("d"))
}
