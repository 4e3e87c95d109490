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

// Transfer hands leadership to another voter; Raft chooses one if to is empty. Only the leader can: the error is
// ErrNotLeader elsewhere, ErrCannotLead if to is no voter or does not answer, or says why the attempt failed. This
// controller then leads on. Changes that are under way meanwhile are refused or uncertain.
func (s *Store) Transfer(ctx context.Context, to string) error {
	if s.raft.State() != raft.Leader {
		return s.notLeader()
	}
	address, err := s.heir(to)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		if to == "" {
			done <- s.await(s.raft.LeadershipTransfer())
		} else {
			done <- s.await(s.raft.LeadershipTransferToServer(raft.ServerID(to), address))
		}
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("hand over leadership: %w; controller %s leads on", err, s.config.ID)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("hand over leadership: %w", ctx.Err())
	}
}

// heir returns the address of the controller that is to lead, or why it cannot. An empty id stands for any.
func (s *Store) heir(to string) (raft.ServerAddress, error) {
	var could []string
	var reason string
	for _, m := range s.Members() {
		switch {
		case m.ID == s.config.ID:
			if m.ID == to {
				reason = "it leads already"
			}
		case !m.Voter:
			if m.ID == to {
				reason = "it only learns yet"
			}
		case s.config.Peer != nil && !m.Alive:
			if m.ID == to {
				reason = "it does not answer"
			}
		case m.ID == to:
			return raft.ServerAddress(m.Address), nil
		default:
			could = append(could, m.ID)
		}
	}
	if to == "" && len(could) > 0 {
		return "", nil
	}
	if to == "" {
		to = "another controller"
	}
	if reason == "" {
		reason = "there is no such controller"
	}
	others := "no other can"
	if len(could) > 0 {
		others = strings.Join(could, ", ") + " could"
	}
	return "", fmt.Errorf("controller %s %w: %s; %s", to, ErrCannotLead, reason, others)
}
