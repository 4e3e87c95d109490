package raftstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/samara-hpc/samara/fleet"
)

func TestFollowerThatIsCutOffReadsButStale(t *testing.T) {
	g, b := newWiredGroup(t, 3)
	g.agree(g.add("a"))
	cut := g.follower()
	b.setCut(cut.config.Address, true)
	_ = cut.config.Stream.Close()
	delete(g.stores, cut.config.ID)
	defer cut.stop(t)
	g.add("b")
	for _, c := range []Consistency{Default, Linearizable} {
		ctx, cancel := context.WithTimeout(testContext(t), 500*time.Millisecond)
		if state, err := cut.Read(ctx, c); err == nil {
			t.Errorf("%s read at revision %d from a controller that is cut off, want an error", c, state.Revision())
		}
		cancel()
	}
	state, err := cut.Read(testContext(t), Stale)
	if _, ok := state.Node("a"); err != nil || !ok {
		t.Errorf("stale read: %v, with its node: %t", err, ok)
	}
	if _, err := cut.Read(testContext(t), "fresh"); !errors.Is(err, ErrConsistency) {
		t.Errorf("read of an unknown consistency: %v, want %v", err, ErrConsistency)
	}
}

func TestOldLeaderDoesNotAnswer(t *testing.T) {
	g, b := newWiredGroup(t, 3)
	old := g.leader()
	for _, c := range []Consistency{Default, Linearizable} {
		if _, err := old.ReadIndex(testContext(t), c); err != nil {
			t.Errorf("%s index of the leader: %v", c, err)
		}
	}
	b.setCut(old.config.Address, true)
	_ = old.config.Stream.Close()
	if _, err := old.ReadIndex(testContext(t), Linearizable); !errors.Is(err, ErrNotLeader) {
		t.Errorf("linearizable index of a leader that was just cut off: %v, want %v", err, ErrNotLeader)
	}
	delete(g.stores, old.config.ID)
	defer old.stop(t)
	g.add("a")
	if _, err := old.ReadIndex(testContext(t), Default); !errors.Is(err, ErrNotLeader) {
		t.Errorf("default index of a leader that was replaced: %v, want %v", err, ErrNotLeader)
	}
}

// Raft's VerifyLeader counts learners.
func TestLearnersDoNotConfirmALeader(t *testing.T) {
	g := newGroup(t, 2, fastElections)
	g.dirs["c3"] = t.TempDir()
	learner := g.start("c3")
	leader, voter := g.leader(), g.follower()
	if voter == learner {
		for id, r := range g.stores {
			if r != leader && id != "c3" {
				voter = r
			}
		}
	}
	if err := leader.raft.AddNonvoter("c3", raft.ServerAddress(g.addrs["c3"]), 0, 10*time.Second).Error(); err != nil {
		t.Fatal(err)
	}
	rev := g.add("a")
	if _, err := learner.Wait(testContext(t), rev-1); err != nil {
		t.Fatal(err)
	}
	_ = voter.config.Stream.Close()
	if rev, err := leader.ReadIndex(testContext(t), Linearizable); !errors.Is(err, ErrNotLeader) {
		t.Errorf("linearizable index with but a learner left: %d, %v; want %v", rev, err, ErrNotLeader)
	}
}

func TestRepliesCountFromWhenTheyWereAskedFor(t *testing.T) {
	now := time.Now()
	var r replies
	r.put("c2", 3, now)
	r.put("c2", 3, now.Add(-time.Second)) // a late answer to an old question
	r.put("c2", 2, now.Add(time.Second))  // to another leader
	for phrase, given := range map[string]struct {
		id    raft.ServerID
		term  uint64
		since time.Time
		want  bool
	}{
		"asked then":        {"c2", 3, now, true},
		"asked after":       {"c2", 3, now.Add(-time.Minute), true},
		"asked before":      {"c2", 3, now.Add(time.Nanosecond), false},
		"in an older term":  {"c2", 2, now, false},
		"in a newer term":   {"c2", 4, now, false},
		"has never replied": {"c3", 3, now, false},
	} {
		if got := r.since(given.id, given.term, given.since); got != given.want {
			t.Errorf("%s: %t, want %t", phrase, got, given.want)
		}
	}
}

func TestReadersShareRounds(t *testing.T) {
	var g rounds
	var runs atomic.Int32
	begun, release := make(chan struct{}), make(chan struct{})
	first := g.join(func() error {
		runs.Add(1)
		close(begun)
		<-release
		return nil
	})
	<-begun
	failed := errors.New("failed")
	var late []*round
	for range 256 {
		late = append(late, g.join(func() error { runs.Add(1); return failed }))
	}
	close(release)
	<-first.done
	for _, r := range late {
		<-r.done
		if r.err != failed {
			t.Fatalf("a shared round: %v, want %v", r.err, failed)
		}
	}
	if runs.Load() != 2 || first.err != nil {
		t.Errorf("%d runs for 1 and then 256 readers, the first with %v; want 2", runs.Load(), first.err)
	}
}

func TestReadersSeeWhatWasAcknowledgedWhileLeadersChange(t *testing.T) {
	g, _ := newWiredGroup(t, 3)
	var stores []*Store
	for _, r := range g.stores {
		stores = append(stores, r.Store)
	}
	var acked atomic.Uint64 // the highest revision acknowledged so far
	ctx, stop := context.WithCancel(testContext(t))
	var wg sync.WaitGroup
	for c := range 6 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("n%d-%d", c, i)
				rev, err := stores[i%3].Propose(ctx, withID(addNode(name), "id-"+name))
				for err == nil {
					if last := acked.Load(); uint64(rev) <= last || acked.CompareAndSwap(last, uint64(rev)) {
						break
					}
				}
			}
		})
		wg.Go(func() {
			for i := c; ctx.Err() == nil; i++ {
				before := fleet.Revision(acked.Load())
				state, err := stores[i%3].Read(ctx, Linearizable)
				if err == nil && state.Revision() < before {
					t.Errorf("a linearizable read is at revision %d, begun after %d was acknowledged", state.Revision(), before)
				}
			}
		})
	}
	for range 4 {
		reign, err := g.leader().Leading(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		seen := acked.Load()
		for acked.Load() < seen+20 {
			if _, err := stores[0].Wait(testContext(t), stores[0].State().Revision()); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.leader().Transfer(testContext(t), ""); err == nil {
			<-reign.Done()
		}
	}
	stop()
	wg.Wait()
}

func TestStatesOfThePastAreKept(t *testing.T) {
	s := startSingle(t, t.TempDir(), nil)
	defer s.stop(t)
	first := mustAdd(t, s.Store, "a", 1)
	last := mustAdd(t, s.Store, "b", 40)
	state, ok := s.StateAt(first)
	if _, b := state.Node("b0"); !ok || b || state.Revision() != first || state.CountNodes() != 1 {
		t.Errorf("state at revision %d: found %t, at revision %d with %d nodes", first, ok, state.Revision(), state.CountNodes())
	}
	if state, ok := s.StateAt(last); !ok || state.CountNodes() != 41 {
		t.Errorf("state at revision %d: found %t, with %d nodes, want 41", last, ok, state.CountNodes())
	}
	if _, ok := s.StateAt(last + 1); ok {
		t.Errorf("there is a state at revision %d, which is yet to come", last+1)
	}
}

func TestStatesOfThePastOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	s := startSingle(t, dir, nil)
	first := mustAdd(t, s.Store, "a", 1)
	mustAdd(t, s.Store, "b", 40)
	s.stop(t)
	again := startSingle(t, dir, nil)
	defer again.stop(t)
	if state, ok := again.StateAt(first); !ok || state.CountNodes() != 1 {
		t.Errorf("after a restart, state at revision %d: found %t, with %d nodes, want 1", first, ok, state.CountNodes())
	}
}

func TestHistoryForgetsTheOldest(t *testing.T) {
	var h history
	at := func(rev fleet.Revision) fleet.State { return fleet.State{}.Advance(rev) }
	if _, ok := h.at(1); ok {
		t.Error("an empty history has a state")
	}
	h.begin(at(10))
	for rev := fleet.Revision(12); rev <= 2*keepStates+20; rev += 2 { // entries that make no revision lie between
		h.add([]fleet.State{at(rev)})
	}
	oldest, newest := fleet.Revision(22), fleet.Revision(2*keepStates+20)
	for phrase, given := range map[string]struct {
		rev, want fleet.Revision
		ok        bool
	}{
		"the newest":       {newest, newest, true},
		"one to come":      {newest + 1, 0, false},
		"between two":      {newest - 1, newest - 2, true},
		"the oldest":       {oldest, oldest, true},
		"after the oldest": {oldest + 1, oldest, true},
		"before it":        {oldest - 1, 0, false},
		"long forgotten":   {10, 0, false},
	} {
		if got, ok := h.at(given.rev); ok != given.ok || got.Revision() != given.want {
			t.Errorf("%s: at(%d) = revision %d, %t; want %d, %t", phrase, given.rev, got.Revision(), ok, given.want, given.ok)
		}
	}
	h.begin(at(5))
	if got, ok := h.at(5); !ok || got.Revision() != 5 {
		t.Error("a history that began anew does not have its first state")
	}
}
