package raftstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/samara-hpc/samara/fleet"
)

var (
	// ErrNotLeader means that another controller must be asked. Nothing was changed.
	ErrNotLeader = errors.New("this controller does not lead")

	// ErrUncertain means that it is not known whether a change was committed: it may be already, or be later, or
	// never. Look at the state, or propose again what may be done twice.
	ErrUncertain = errors.New("outcome unknown")
)

// maxProposals bounds the proposals under way. More wait for their turn.
const maxProposals = 1024

func uncertain(err error) error { return fmt.Errorf("%w: %w", ErrUncertain, err) }

// Propose commits e and returns the revision at which this controller has applied it. The error is
//   - ErrNotLeader, if another controller must be asked; Status names it;
//   - the reason of package fleet for which e is refused (fleet.IsRefusal): nothing was changed;
//   - ErrUncertain, if ctx ended, leadership was lost, the disk failed or the store was closed while e was under way;
//   - that of ctx, ErrClosed or the store's failure alone, if e did not get so far.
func (s *Store) Propose(ctx context.Context, e fleet.Entry) (fleet.Revision, error) {
	data, err := fleet.EncodeEntry(e, s.State().Format())
	if err != nil {
		return 0, err
	}
	// What no replica can decode would stop every one of them.
	if _, err := fleet.DecodeEntry(data, fleet.Format); err != nil {
		return 0, fmt.Errorf("propose %s: %w", e.Command.Kind(), err)
	}
	if s.raft.State() != raft.Leader {
		return 0, s.notLeader()
	}
	answer, err := s.submit(ctx, data)
	if err != nil {
		return 0, err
	}
	select {
	case a := <-answer:
		return s.outcome(a)
	case <-ctx.Done():
		return 0, uncertain(ctx.Err())
	case <-s.end.done:
		return 0, uncertain(s.end.get())
	}
}

// submit gives data to Raft, whose future comes out of the channel when it is done. If submit fails, Raft never
// sees data.
func (s *Store) submit(ctx context.Context, data []byte) (<-chan raft.ApplyFuture, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.end.done:
		return nil, s.end.get()
	}
	s.gate.Lock()
	defer s.gate.Unlock()
	if s.closing || ctx.Err() != nil {
		<-s.slots
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, ErrClosed
	}
	answer := make(chan raft.ApplyFuture, 1)
	s.proposals.Go(func() {
		defer func() { <-s.slots }()
		f := s.raft.Apply(data, 0)
		_ = f.Error() // it waits; outcome looks at it
		answer <- f
	})
	return answer, nil
}

// outcome says what became of a proposal that Raft is done with.
func (s *Store) outcome(f raft.ApplyFuture) (fleet.Revision, error) {
	switch err := f.Error(); {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return 0, s.notLeader()
	default:
		if failed := s.end.get(); failed != nil {
			err = failed
		}
		return 0, uncertain(err)
	}
	if refusal, ok := f.Response().(error); ok {
		return 0, refusal
	}
	return fleet.Revision(f.Index()), nil
}

func (s *Store) notLeader() error {
	if err := s.end.get(); err != nil {
		return err
	}
	if _, id := s.raft.LeaderWithID(); id != "" && id != raft.ServerID(s.config.ID) {
		return fmt.Errorf("%w; controller %s does", ErrNotLeader, id)
	}
	return fmt.Errorf("%w, and none is known to; it may have lost its majority", ErrNotLeader)
}

// await waits for a future of Raft's, unless the store ends: Raft forgets some of its futures when it is shut down.
func (s *Store) await(f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-s.end.done:
		return s.end.get()
	}
}
