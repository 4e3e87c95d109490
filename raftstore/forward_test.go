package raftstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// withID is e under an id.
func withID(e fleet.Entry, id string) fleet.Entry {
	e.ID = id
	return e
}

// follower returns a controller that does not lead.
func (g *group) follower() *running {
	g.t.Helper()
	leader := g.leader().config.ID
	for id, r := range g.stores {
		if id != leader {
			return r
		}
	}
	g.t.Fatal("no follower")
	return nil
}

func TestEveryControllerTakesChangesAndShowsThem(t *testing.T) {
	g, _ := newWiredGroup(t, 3)
	for i, c := range []Consistency{Default, Linearizable} {
		for writer, w := range g.stores {
			name := fmt.Sprintf("n%d-%s", i, writer)
			rev, err := w.Propose(testContext(t), addNode(name))
			if err != nil {
				t.Fatalf("propose to %s: %v", writer, err)
			}
			if n, ok := w.State().Node(name); !ok || n.Revision != rev {
				t.Errorf("%s does not have what it was asked to change: found %t, revision %d, want %d", writer, ok, n.Revision, rev)
			}
			for reader, r := range g.stores {
				state, err := r.Read(testContext(t), c)
				if err != nil {
					t.Fatalf("%s read from %s: %v", c, reader, err)
				}
				if _, ok := state.Node(name); !ok || state.Revision() < rev {
					t.Errorf("%s read from %s is at revision %d, after revision %d was acknowledged by %s", c, reader, state.Revision(), rev, writer)
				}
			}
		}
	}
	if _, err := g.follower().Propose(testContext(t), addNode("n0-c1")); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("a refused change by way of a follower: %v, want %v", err, fleet.ErrExists)
	}
}

func TestDuplicateHasTheFirstOutcome(t *testing.T) {
	g, _ := newWiredGroup(t, 3)
	leader, follower := g.leader(), g.follower()
	first, err := follower.Propose(testContext(t), withID(addNode("a"), "id-a"))
	if err != nil {
		t.Fatal(err)
	}
	_, refused := leader.Propose(testContext(t), withID(addNode("a"), "id-b"))
	if !errors.Is(refused, fleet.ErrExists) {
		t.Fatalf("node a again: %v, want %v", refused, fleet.ErrExists)
	}
	if _, err := leader.Propose(testContext(t), fleet.Entry{Command: fleet.DeleteNodes{Names: []string{"a"}}, At: time.Now(), Who: "test"}); err != nil {
		t.Fatal(err)
	}
	for id, r := range g.stores {
		if rev, err := r.Propose(testContext(t), withID(addNode("a"), "id-a")); rev != first || err != nil {
			t.Errorf("the first change again by %s: revision %d, %v; want %d", id, rev, err, first)
		}
		if _, err := r.Propose(testContext(t), withID(addNode("a"), "id-b")); !errors.Is(err, fleet.ErrExists) || err.Error() != refused.Error() {
			t.Errorf("the refused change again by %s: %v; want %v", id, err, refused)
		}
	}
	// The same from the log, as when the outcome was not known yet where it was proposed again.
	data, err := fleet.EncodeEntry(withID(addNode("a"), "id-a"), 2)
	if err != nil {
		t.Fatal(err)
	}
	if rev, err := leader.ProposeEncoded(testContext(t), data); rev != first || err != nil {
		t.Errorf("the first entry in the log again: revision %d, %v; want %d", rev, err, first)
	}
	if _, ok := leader.State().Node("a"); ok {
		t.Error("an entry with the id of an earlier one has changed something")
	}
}

func TestLostAnswersAreAskedForAgain(t *testing.T) {
	g, b := newWiredGroup(t, 3)
	follower := g.follower()
	b.loseAnswers(2)
	rev, err := follower.Propose(testContext(t), withID(addNode("a"), "id-a"))
	if n, ok := follower.State().Node("a"); err != nil || !ok || n.Revision != rev {
		t.Errorf("propose while answers get lost: revision %d, %v; node found %t, at revision %d", rev, err, ok, n.Revision)
	}
	b.loseAnswers(1)
	if _, err := follower.Propose(testContext(t), addNode("b")); !errors.Is(err, ErrUncertain) || b.forwarded() != 1 {
		t.Errorf("propose without an id while the answer gets lost: %v after %d calls; want %v after 1", err, b.forwarded(), ErrUncertain)
	}
}

func TestEntriesTooOldToBeRememberedAreNotRepeated(t *testing.T) {
	g, _ := newWiredGroup(t, 3)
	follower := g.follower()
	l, err := follower.findLeader(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	p := proposal{store: follower.Store, id: "id-a", until: follower.raft.CommitIndex(), uncertain: uncertain(errCut)}
	if err := p.recent(testContext(t), l); err != nil {
		t.Errorf("a proposal that few have overtaken: %v", err)
	}
	g.agree(g.add("b"))
	if err := p.recent(testContext(t), l); !errors.Is(err, errOvertaken) || p.again(err) {
		t.Errorf("a proposal that too many have overtaken: %v, again: %t; want %v and no more", err, p.again(err), errOvertaken)
	}
}

func TestLeaderLossLosesAndRepeatsNothing(t *testing.T) {
	const clients, each = 24, 12
	g, b := newWiredGroup(t, 3)
	old := g.leader()
	var wg sync.WaitGroup
	type result struct {
		name string
		rev  fleet.Revision
		err  error
	}
	results := make(chan result, clients*each)
	var stores []*Store
	for _, r := range g.stores {
		if r != old {
			stores = append(stores, r.Store)
		}
	}
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprintf("n%d-%d", c, i)
				rev, err := stores[c%2].Propose(testContext(t), withID(addNode(name), "id-"+name))
				results <- result{name, rev, err}
			}
		})
	}
	for range clients { // in the middle of it the leader is cut off, and then dies
		r := <-results
		results <- r
	}
	b.setCut(old.config.Address, true)
	_ = old.config.Stream.Close()
	wg.Wait()
	delete(g.stores, old.config.ID)
	old.stop(t)
	close(results)
	var last fleet.Revision
	applied := map[string]fleet.Revision{}
	for r := range results {
		if r.err != nil {
			t.Errorf("propose %s: %v", r.name, r.err)
		}
		applied[r.name] = r.rev
		last = max(last, r.rev)
	}
	g.agree(last)
	for id, r := range g.stores {
		state := r.State()
		for name, rev := range applied {
			if n, ok := state.Node(name); !ok || n.Revision != rev {
				t.Errorf("controller %s: node %s found %t, at revision %d; acknowledged at %d", id, name, ok, n.Revision, rev)
			}
		}
	}
}

func TestWithoutALeaderProposalsSayWhatToDo(t *testing.T) {
	g, b := newWiredGroup(t, 3)
	alone := g.follower()
	for _, r := range g.stores {
		if r != alone {
			b.setCut(r.config.Address, true)
			_ = r.config.Stream.Close()
		}
	}
	_, err := alone.Propose(testContext(t), withID(addNode("a"), "id-a"))
	if !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrUncertain) {
		t.Errorf("propose without a majority: %v, want %v", err, ErrNotLeader)
	}
	// By now it is known for long that nobody leads: whoever asks gets to know at once.
	began := time.Now()
	if _, err := alone.Propose(testContext(t), addNode("b")); !errors.Is(err, ErrNotLeader) || time.Since(began) > time.Second {
		t.Errorf("propose long after the majority was lost: %v after %s", err, time.Since(began))
	}
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if _, err := alone.Propose(ctx, addNode("b")); !errors.Is(err, context.Canceled) {
		t.Errorf("propose with a context that has ended: %v", err)
	}
}
