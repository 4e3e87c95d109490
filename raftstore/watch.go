package raftstore

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/samara-hpc/samara/fleet"
)

// State returns what this controller knows to be committed. It takes no lock and waits for nobody, and is the boot
// path's view: without a majority of the controllers it stays as it was.
func (s *Store) State() fleet.State { return *s.machine.state.Load() }

// Wait returns the state as soon as its revision is above after, which may be at once. So a caller that passes the
// revision it saw last follows all changes, several at a time if it is slow. The error is that of ctx, ErrClosed or
// the store's failure.
func (s *Store) Wait(ctx context.Context, after fleet.Revision) (fleet.State, error) {
	for {
		changed := s.machine.changed.next()
		if state := s.State(); state.Revision() > after {
			return state, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fleet.State{}, ctx.Err()
		case <-s.end.done:
			return fleet.State{}, s.end.get()
		}
	}
}

// WaitLeader returns as soon as a leader is known. If that is this controller, the state then holds all that was ever
// acknowledged. The error is that of ctx, ErrClosed or the store's failure.
func (s *Store) WaitLeader(ctx context.Context) error {
	return s.waitLeadership(ctx, func() bool {
		if s.raft.State() == raft.Leader {
			return s.caughtUp(ctx)
		}
		_, id := s.raft.LeaderWithID()
		return id != "" && id != raft.ServerID(s.config.ID)
	})
}

// Leading waits until this controller leads and its state holds all that was ever acknowledged. The context that it
// returns ends with ctx, with the leadership, and with the store. It is for work that one controller does for all.
func (s *Store) Leading(ctx context.Context) (context.Context, error) {
	var term uint64
	err := s.waitLeadership(ctx, func() bool {
		term = s.raft.CurrentTerm()
		return s.leads(term) && s.caughtUp(ctx) && s.leads(term)
	})
	if err != nil {
		return nil, err
	}
	reign, cancel := context.WithCancelCause(ctx)
	go func() {
		for {
			changed := s.leadership.next()
			if !s.leads(term) {
				cancel(ErrNotLeader)
				return
			}
			select {
			case <-changed:
			case <-reign.Done():
				return
			case <-s.end.done:
				cancel(s.end.get())
				return
			}
		}
	}()
	return reign, nil
}

// leads reports whether this controller is the leader of that term.
func (s *Store) leads(term uint64) bool {
	return s.raft.State() == raft.Leader && s.raft.CurrentTerm() == term
}

// caughtUp waits until this controller, as the leader, has applied all that was committed before.
func (s *Store) caughtUp(ctx context.Context) bool { return s.ready(ctx) == nil }

// waitLeadership returns as soon as ok does, which is asked again whenever leadership may have changed.
func (s *Store) waitLeadership(ctx context.Context, ok func() bool) error {
	for {
		changed := s.leadership.next()
		if ok() {
			return nil
		}
		// A leader that is busy handing over leadership refuses a barrier, and may lead on without any change.
		again := time.NewTimer(s.config.HeartbeatTimeout)
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
		case <-s.end.done:
		}
		again.Stop()
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.end.get(); err != nil {
			return err
		}
	}
}

// A Status is what a store says of its part in Raft.
type Status struct {
	ID       string `json:"id"`
	Leader   string `json:"leader"` // id; "" if none is known
	Role     string `json:"role"`   // follower, candidate, leader or shutdown
	Term     uint64 `json:"term"`
	Applied  uint64 `json:"applied"` // index up to which entries were given to the state
	Commit   uint64 `json:"commit"`  // index up to which entries are known to be committed
	Last     uint64 `json:"last"`    // index of the last entry in the log
	Snapshot uint64 `json:"snapshot"`
	Removed  bool   `json:"removed,omitempty"` // its cluster does not list it any more, and none leads it
	Failure  string `json:"failure,omitempty"` // why the store has failed
}

// Status returns a picture that may be a moment old; its fields were not read at one instant.
func (s *Store) Status() Status {
	_, leader := s.raft.LeaderWithID()
	st := Status{
		ID: s.config.ID, Leader: string(leader), Role: strings.ToLower(s.raft.State().String()),
		Term: s.raft.CurrentTerm(), Applied: s.raft.AppliedIndex(), Commit: s.raft.CommitIndex(), Last: s.raft.LastIndex(),
		Removed: s.removed(),
	}
	// Raft tells this one only as text.
	st.Snapshot, _ = strconv.ParseUint(s.raft.Stats()["last_snapshot_index"], 10, 64)
	if err := s.end.get(); err != nil && !errors.Is(err, ErrClosed) {
		st.Failure = err.Error()
	}
	return st
}
