package raftstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/samara-hpc/samara/fleet"
)

var (
	// ErrNotLeader means that another controller must be asked, or that none leads. Nothing was changed.
	ErrNotLeader = errors.New("this controller does not lead")

	// ErrUncertain means that it is not known whether a change was committed: it may be already, or be later, or
	// never. Look at the state, or propose again what may be done twice.
	ErrUncertain = errors.New("outcome unknown")
)

// maxProposals bounds the proposals under way. More wait for their turn.
const maxProposals = 1024

func uncertain(err error) error { return fmt.Errorf("%w: %w", ErrUncertain, err) }

// Propose commits e, by way of the leader, and returns the revision at which it was applied; unless ctx ends before,
// this controller's state has reached that revision. An entry with the id of one that was applied before changes nothing:
// the revision, or the refusal, is that of the first. The error is
//   - the reason of package fleet for which e is refused (fleet.IsRefusal): nothing was changed;
//   - ErrNotLeader, if no controller leads and none was elected for long: nothing was changed. Without Config.Peer also
//     if another controller leads; Status names it;
//   - ErrUncertain, if ctx ended, leadership was lost, the disk failed or the store was closed while e was under way;
//   - that of ctx, ErrClosed or the store's failure alone, if e did not get so far.
//
// If e has an id and the state's format knows ids, Propose repeats e for as long as its outcome is unknown, until ctx
// ends. Otherwise it puts e to Raft but once.
func (s *Store) Propose(ctx context.Context, e fleet.Entry) (fleet.Revision, error) {
	state := s.State()
	if o, known := state.Outcome(e.ID); known {
		return o.Revision, o.Err()
	}
	data, err := fleet.EncodeEntry(e, state.Format())
	if err != nil {
		return 0, err
	}
	if err := s.checkEntry(data); err != nil {
		return 0, fmt.Errorf("propose %s: %w", e.Command.Kind(), err)
	}
	p := proposal{store: s, data: data, until: s.raft.CommitIndex() + maxOvertakers}
	if state.Format() >= 2 {
		p.id = e.ID
	}
	rev, err := s.askLeader(ctx, p.attempt, p.again)
	if err != nil {
		return rev, p.verdict(err)
	}
	_, _ = s.Wait(ctx, rev-1) // if ctx ends, this state lags; the entry is committed all the same
	return rev, nil
}

// ProposeEncoded commits an entry that another controller has encoded, and returns the revision of its outcome. Only
// the leader does: the error is ErrNotLeader elsewhere, and otherwise as for Propose. It makes one attempt.
func (s *Store) ProposeEncoded(ctx context.Context, data []byte) (fleet.Revision, error) {
	if s.raft.State() != raft.Leader {
		return 0, s.notLeader()
	}
	if len(data) > fleet.MaxEntry {
		return 0, fmt.Errorf("%w entry: %d bytes, at most %d", fleet.ErrInvalid, len(data), fleet.MaxEntry)
	}
	if err := s.checkEntry(data); err != nil {
		return 0, fmt.Errorf("propose: %w", err)
	}
	return s.commit(ctx, data)
}

// checkEntry keeps out of the log what replicas could not decode: it would stop every one of them.
func (s *Store) checkEntry(data []byte) error {
	_, err := fleet.DecodeEntry(data, s.config.Format)
	return err
}

// A proposal is an entry on its way to the leader.
type proposal struct {
	store     *Store
	data      []byte
	id        string // "" if it must not be repeated
	until     uint64 // index up to which entries may be committed before the last attempt
	uncertain error  // the first attempt after which the outcome was unknown
}

// maxOvertakers is how many entries may be committed between the first attempt of a proposal and its last. The state
// forgets ids after fleet.MaxOutcomes entries; the rest is for those that are under way.
const maxOvertakers = fleet.MaxOutcomes / 2

// attempt puts p to the leader once.
func (p *proposal) attempt(ctx context.Context, l lead) (fleet.Revision, error) {
	s := p.store
	if p.uncertain != nil {
		if o, known := s.State().Outcome(p.id); known {
			return o.Revision, o.Err()
		}
		if err := p.recent(ctx, l); err != nil {
			return 0, err
		}
	}
	if l.id == s.config.ID {
		return s.commit(ctx, p.data)
	}
	if p.id == "" {
		l.ctx = context.Background() // nobody else is to be asked: the one who was may yet say how it went
	}
	ctx, cancel := bounded(ctx, l)
	defer cancel()
	rev, err := s.config.Peer.Propose(ctx, l.address, p.data)
	switch {
	case err == nil, errors.Is(err, ErrUncertain), fleet.IsRefusal(err), isUndone(err):
		return rev, err
	}
	return 0, uncertain(fmt.Errorf("ask controller %s, which leads: %w", l.id, err))
}

// isUndone reports whether a proposal that failed with err did certainly not reach the log.
func isUndone(err error) bool { return errors.Is(err, ErrNotLeader) || errors.Is(err, ErrClosed) }

var errOvertaken = errors.New("too many changes came after it")

// recent asks the leader whether the state is sure to remember p if an earlier attempt was committed.
func (p *proposal) recent(ctx context.Context, l lead) error {
	index, err := p.store.indexFrom(ctx, l, Default)
	if err != nil {
		return uncertain(err)
	}
	if uint64(index) > p.until {
		return uncertain(errOvertaken)
	}
	return nil
}

// again reports whether to make another attempt after one that failed.
func (p *proposal) again(err error) bool {
	if p.store.end.get() != nil {
		return false
	}
	if errors.Is(err, ErrUncertain) {
		if p.uncertain == nil {
			p.uncertain = err
		}
		return p.id != "" && !errors.Is(err, errOvertaken)
	}
	return isUndone(err)
}

// verdict returns what the last error means after all attempts.
func (p *proposal) verdict(err error) error {
	if p.uncertain == nil || fleet.IsRefusal(err) || errors.Is(err, ErrUncertain) {
		return err
	}
	return uncertain(err)
}

// commit has Raft commit data, and waits for what becomes of it.
func (s *Store) commit(ctx context.Context, data []byte) (fleet.Revision, error) {
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
	switch r := f.Response().(type) {
	case error:
		return 0, r
	case fleet.Revision: // of an earlier entry with the same id
		return r, nil
	}
	return fleet.Revision(f.Index()), nil
}

// notLeader says who leads instead, or what to do if nobody does.
func (s *Store) notLeader() error {
	if err := s.end.get(); err != nil {
		return err
	}
	if _, id := s.raft.LeaderWithID(); id != "" && id != raft.ServerID(s.config.ID) {
		return fmt.Errorf("%w; controller %s does", ErrNotLeader, id)
	}
	return fmt.Errorf("%w, and no other is known to: a majority of the controllers is needed for changes; samara status shows which answer; if the others are lost for good, see samara controller recover", ErrNotLeader)
}

// await waits for a future of Raft's, unless the store ends: Raft forgets some of its futures when it is shut down. Run
// waits for those under way as for proposals.
func (s *Store) await(f raft.Future) error {
	done := make(chan error, 1)
	work := func() { done <- f.Error() }
	s.gate.Lock()
	if s.closing {
		go work()
	} else {
		s.proposals.Go(work)
	}
	s.gate.Unlock()
	select {
	case err := <-done:
		return err
	case <-s.end.done:
		return s.end.get()
	}
}
