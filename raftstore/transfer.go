package raftstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/raft"
)

// ErrCannotLead means that leadership cannot be handed to the controller that was named.
var ErrCannotLead = errors.New("cannot lead")

// Transfer hands leadership to another voter, and waits until this controller does not lead any more. An empty id
// stands for the voter that is most up to date. Only the leader can: the error is ErrNotLeader elsewhere, ErrCannotLead if
// the other is no voter or does not answer, or says why the attempt failed; this controller then leads on. Changes that
// are proposed meanwhile wait, or are refused with ErrNotLeader.
func (s *Store) Transfer(ctx context.Context, to string) error {
	if s.raft.State() != raft.Leader {
		return s.notLeader()
	}
	heir, err := s.heir(to)
	if err != nil {
		return err
	}
	s.giveUpLease()
	err = s.settle(ctx, func() raft.Future {
		return s.raft.LeadershipTransferToServer(raft.ServerID(heir.ID), raft.ServerAddress(heir.Address))
	})
	if err != nil {
		return fmt.Errorf("hand leadership over to controller %s: %w", heir.ID, err)
	}
	return nil
}

// heir returns the controller that is to lead, or why it cannot. An empty id stands for the best.
func (s *Store) heir(to string) (Member, error) {
	reason := "there is no such controller"
	var could []string
	var best Member
	for _, m := range s.Members() {
		no := s.unfit(m)
		if m.ID == to && no == "" {
			return m, nil
		}
		switch {
		case m.ID == to:
			reason = no
		case no == "":
			if could == nil || m.Lag < best.Lag {
				best = m
			}
			could = append(could, m.ID)
		}
	}
	if to == "" && could != nil {
		return best, nil
	}
	if to == "" {
		return Member{}, fmt.Errorf("the other controllers %w: they have no vote, or do not answer", ErrCannotLead)
	}
	others := "no other could"
	if could != nil {
		others = strings.Join(could, ", ") + " could"
	}
	return Member{}, fmt.Errorf("controller %s %w: %s; %s", to, ErrCannotLead, reason, others)
}

// unfit returns why a controller cannot be handed leadership, "" if it can.
func (s *Store) unfit(m Member) string {
	switch {
	case m.ID == s.config.ID:
		return "it leads already"
	case !m.Voter:
		return "it has no vote yet"
	case s.config.Peer != nil && !m.Alive:
		return "it does not answer"
	case m.Lag > lagging:
		return fmt.Sprintf("it is %d changes behind", m.Lag)
	}
	return ""
}
