package raftstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/samara-hpc/samara/fleet"
)

// Consistency says how fresh a read is.
type Consistency string

const (
	// Stale is what this controller knows. It needs no other controller.
	Stale Consistency = "stale"

	// Default holds all that was acknowledged before the read began, as long as the controllers' clocks run at
	// about the same speed. The leader answers at once, for a majority has promised it, by hearing from it less than
	// LeaseTimeout ago, to elect nobody else yet. A controller that is started anew forgets its promise: for
	// LeaseTimeout after that, Default may miss the last changes if its leader is cut off at the same time.
	Default Consistency = "default"

	// Linearizable holds all that was acknowledged before the read began. A majority of the voters has said since
	// then that they follow this leader.
	Linearizable Consistency = "linearizable"
)

// ErrConsistency means that there is no such Consistency.
var ErrConsistency = errors.New("unknown consistency; want stale, default or linearizable")

// Read returns a state that is as fresh as c says. All but Stale ask the leader, on any controller. The error is
// ErrNotLeader if no controller leads, that of ctx, ErrClosed or the store's failure.
func (s *Store) Read(ctx context.Context, c Consistency) (fleet.State, error) {
	if c == Stale {
		return s.State(), nil
	}
	if c != Default && c != Linearizable {
		return fleet.State{}, fmt.Errorf("read %q: %w", c, ErrConsistency)
	}
	rev, err := s.askLeader(ctx, func(ctx context.Context, l lead) (fleet.Revision, error) {
		return s.indexFrom(ctx, l, c)
	}, func(error) bool { return s.end.get() == nil })
	if ended := s.end.get(); err != nil && ended != nil {
		return fleet.State{}, ended // the question was broken off by that
	}
	if err != nil {
		return fleet.State{}, err
	}
	if rev == 0 {
		return s.State(), nil
	}
	return s.Wait(ctx, rev-1)
}

// indexFrom asks the leader for its ReadIndex.
func (s *Store) indexFrom(ctx context.Context, l lead, c Consistency) (fleet.Revision, error) {
	if l.id == s.config.ID {
		return s.ReadIndex(ctx, c)
	}
	ctx, cancel := bounded(ctx, l)
	defer cancel()
	rev, err := s.config.Peer.ReadIndex(ctx, l.address, c)
	if err != nil {
		return 0, fmt.Errorf("ask controller %s, which leads: %w", l.id, err)
	}
	return rev, nil
}

// ReadIndex returns the revision that a state must have reached to be as fresh as c says. Only the leader knows: the
// error is ErrNotLeader elsewhere, else that of ctx, ErrClosed or the store's failure.
func (s *Store) ReadIndex(ctx context.Context, c Consistency) (fleet.Revision, error) {
	switch c {
	case Stale:
		return s.State().Revision(), nil
	case Default, Linearizable:
	default:
		return 0, fmt.Errorf("read %q: %w", c, ErrConsistency)
	}
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	// What was acknowledged by now is committed up to here: in this term by this leader, and in earlier ones too,
	// since it is ready. What is left to show is that no later term has begun.
	term, commit := s.raft.CurrentTerm(), s.raft.CommitIndex()
	if s.readyIn.Load() != term || !s.leads(term) {
		return 0, s.notLeader()
	}
	if c == Linearizable || !s.hasLease(term) {
		if err := s.verify(ctx); err != nil {
			return 0, err
		}
	}
	if !s.leads(term) {
		return 0, s.notLeader()
	}
	return s.revisionAt(commit)
}

// ready waits until this controller, as the leader, has applied all that was committed in earlier terms. That takes
// one barrier in each term.
func (s *Store) ready(ctx context.Context) error {
	if term := s.raft.CurrentTerm(); s.readyIn.Load() == term && s.leads(term) {
		return nil
	}
	return s.wait(ctx, s.barriers.join(func() error {
		term := s.raft.CurrentTerm()
		if !s.leads(term) {
			return s.notLeader()
		}
		if s.readyIn.Load() == term {
			return nil
		}
		if err := s.await(s.raft.Barrier(0)); err != nil {
			return fmt.Errorf("%w: %w", s.notLeader(), err)
		}
		if !s.leads(term) {
			return s.notLeader()
		}
		s.readyIn.Store(term)
		return nil
	}))
}

// verify waits until a majority of the voters has said that it follows this leader, having been asked after verify
// was called.
func (s *Store) verify(ctx context.Context) error {
	return s.wait(ctx, s.verifications.join(func() error {
		asked := time.Now()
		term := s.raft.CurrentTerm()
		if s.follow(term, asked) {
			return nil // it is the only voter
		}
		// Raft asks all others at once. Its own verdict counts learners, and answers to what it asked long before.
		_ = s.raft.VerifyLeader()
		for {
			heard, changed := s.replies.changed.next(), s.leadership.next()
			switch {
			case !s.leads(term):
				return s.notLeader()
			case s.follow(term, asked):
				return nil
			}
			select { // Raft gives up leadership if it hears of no majority, so that this ends
			case <-heard:
			case <-changed:
			case <-s.end.done:
				return s.end.get()
			}
		}
	}))
}

// hasLease reports whether a majority of the voters is bound to elect nobody else yet. Each of them waits for longer
// than LeaseTimeout before it does so, unless the leader itself asks it to.
func (s *Store) hasLease(term uint64) bool {
	return s.unleased.Load() != term && s.follow(term, time.Now().Add(-s.config.LeaseTimeout))
}

// giveUpLease is called before leadership is handed over.
func (s *Store) giveUpLease() { s.unleased.Store(s.raft.CurrentTerm()) }

// follow reports whether a majority of the voters has acknowledged this leader, having been asked since then.
func (s *Store) follow(term uint64, since time.Time) bool {
	voters, followers := 0, 0
	for _, v := range s.voters() {
		if v.Suffrage != raft.Voter {
			continue
		}
		voters++
		if v.ID == raft.ServerID(s.config.ID) || s.replies.since(v.ID, term, since) {
			followers++
		}
	}
	return followers > voters/2 && s.leads(term)
}

// wait waits for a round.
func (s *Store) wait(ctx context.Context, r *round) error {
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.end.done:
		return s.end.get()
	}
}

// revisionAt returns the revision of a state that has applied all entries up to index. Of the entries that make no
// revision Raft tells states nothing.
func (s *Store) revisionAt(index uint64) (fleet.Revision, error) {
	for ; index > uint64(s.State().Revision()); index-- {
		var l raft.Log
		if _, err := s.journal.read(index, &l); errors.Is(err, raft.ErrLogNotFound) {
			break // a snapshot has taken its place, so that it was applied
		} else if err != nil {
			return 0, err
		}
		if l.Type == raft.LogCommand || l.Type == raft.LogConfiguration {
			return fleet.Revision(index), nil
		}
	}
	return s.State().Revision(), nil
}
