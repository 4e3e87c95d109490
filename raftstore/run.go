package raftstore

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

const (
	drainTimeout = 2 * time.Second // for proposals under way
	leaveTimeout = 5 * time.Second // for each part that is closed; a disk that hangs would keep us for ever
)

// Run waits until ctx ends, then leaves Raft in order, handing leadership to another controller if there is one,
// and closes all that Open opened. It returns early if the store fails; the error says why and what to do. Run must be
// called once for each Store, even if ctx has ended already. State still works afterwards.
func (s *Store) Run(ctx context.Context) error {
	s.chores.Go(func() { s.steward(ctx) })
	select {
	case <-ctx.Done():
	case <-s.end.done:
	}
	s.refuseProposals()
	if s.end.get() == nil {
		_ = within(drainTimeout, s.proposals.Wait) // those that are left get ErrClosed
		s.handOver()
	}
	s.end.set(ErrClosed)
	_ = within(leaveTimeout, s.chores.Wait) // all that they wait for ends with the store, but for a disk that hangs
	s.close()
	if err := s.end.get(); !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

func (s *Store) refuseProposals() {
	s.gate.Lock()
	s.closing = true
	s.gate.Unlock()
}

// handOver gives leadership to another voter, if this controller leads and there is one, so that the others need not
// first notice that it is gone.
func (s *Store) handOver() {
	if s.raft.State() != raft.Leader || len(s.voters()) < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if err := s.Transfer(ctx, ""); err != nil {
		s.config.Logger.Info("leadership not handed over; the others elect", "err", err)
	}
}

// close closes whatever is open. s.end must be set.
func (s *Store) close() {
	s.lookout.close()
	if s.raft != nil {
		left := s.raft.Shutdown()
		_ = s.transport.Close() // the stream's error; it is closed for good anyway
		if !within(leaveTimeout, func() { _ = left.Error() }) {
			s.config.Logger.Warn("raft has not stopped in time")
		}
		s.raft.DeregisterObserver(s.observer)
		s.watching.Wait()
	}
	switch {
	case s.transport != nil:
		_ = s.transport.Close()
	case s.config.Stream != nil:
		_ = s.config.Stream.Close()
	}
	if s.journal != nil {
		closed := within(leaveTimeout, func() {
			if err := s.journal.disk.Close(); err != nil {
				s.config.Logger.Warn("close the log", "err", err)
			}
		})
		if !closed {
			return // the directory stays locked while a write may still reach it
		}
	}
	if s.lock != nil {
		_ = s.lock.Close() // it holds nothing
	}
}

// within runs f and reports whether it returned in time. If not, f goes on alone.
func within(limit time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
