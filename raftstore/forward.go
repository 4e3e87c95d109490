package raftstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/samara-hpc/samara/fleet"
)

// A Peer is how a store asks the store of another controller, at the address that Raft knows it by. An error that
// wraps ErrNotLeader or ErrClosed means that nothing was done; a refusal of package fleet (fleet.IsRefusal) is the
// answer. Whatever else goes wrong leaves the outcome unknown. ctx bounds each call.
type Peer interface {
	Propose(ctx context.Context, address string, entry []byte) (fleet.Revision, error) // its ProposeEncoded
	ReadIndex(ctx context.Context, address string, c Consistency) (fleet.Revision, error)
	Stats(ctx context.Context, address string) (Stats, error)
}

const (
	forwardTimeout = 10 * time.Second // for one question to the leader

	// Pauses between two questions to leaders that did not answer.
	minPause, maxPause = 50 * time.Millisecond, 200 * time.Millisecond

	// leaderlessElections is how many election timeouts without a leader make a majority count as lost. Controllers
	// that reach each other elect within two or three.
	leaderlessElections = 10
)

// A lead is who leads, as far as this controller knows.
type lead struct {
	id, address string    // "" if none is known
	since       time.Time // when it was first known
	ctx         context.Context
	end         context.CancelFunc // ends ctx, when somebody else leads, or nobody
}

// A lookout knows who leads. The zero value is ready.
type lookout struct {
	mu   sync.Mutex
	lead lead
}

// look returns who leads now.
func (l *lookout) look(r *raft.Raft) lead {
	l.mu.Lock()
	defer l.mu.Unlock()
	address, id := r.LeaderWithID()
	if l.lead.ctx == nil || string(id) != l.lead.id || string(address) != l.lead.address {
		if l.lead.end != nil {
			l.lead.end()
		}
		ctx, cancel := context.WithCancel(context.Background())
		l.lead = lead{id: string(id), address: string(address), since: time.Now(), ctx: ctx, end: cancel}
	}
	return l.lead
}

// close ends the questions to whoever leads.
func (l *lookout) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lead.end != nil {
		l.lead.end()
	}
}

// A question is put to the leader: to this store if address is "".
type question func(ctx context.Context, l lead) (fleet.Revision, error)

// askLeader puts q to the leader, whoever that is by then, again and again while again says so of its error.
func (s *Store) askLeader(ctx context.Context, q question, again func(error) bool) (fleet.Revision, error) {
	for {
		l, err := s.findLeader(ctx)
		if err != nil {
			return 0, err
		}
		rev, err := q(ctx, l)
		if err == nil || !again(err) {
			return rev, err
		}
		if s.config.Peer == nil && errors.Is(err, ErrNotLeader) {
			return 0, err
		}
		if stopped := s.pause(ctx); stopped != nil {
			return 0, fmt.Errorf("%w; the last answer was: %w", stopped, err)
		}
	}
}

// findLeader waits until a leader is known that can be asked.
func (s *Store) findLeader(ctx context.Context) (lead, error) {
	limit := leaderlessElections * s.config.ElectionTimeout
	for {
		if err := s.end.get(); err != nil {
			return lead{}, err
		}
		if err := ctx.Err(); err != nil {
			return lead{}, fmt.Errorf("%w; %w", err, s.notLeader())
		}
		changed := s.leadership.next()
		l := s.lookout.look(s.raft)
		switch {
		case s.raft.State() == raft.Leader:
			return lead{id: s.config.ID}, nil
		case l.id != "" && l.id != s.config.ID && s.config.Peer != nil:
			return l, nil
		case l.id != "" && l.id != s.config.ID:
			return lead{}, s.notLeader()
		}
		wait := limit
		if l.id == "" {
			wait -= time.Since(l.since)
		}
		if wait <= 0 {
			return lead{}, s.notLeader()
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		case <-s.end.done:
		}
		timer.Stop()
	}
}

// pause waits a little, so that nobody is asked too often. It returns why not to go on.
func (s *Store) pause(ctx context.Context) error {
	timer := time.NewTimer(minPause + rand.N(maxPause-minPause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.end.done:
		return s.end.get()
	}
}

// bounded returns a context for one question to l. It ends when l no longer leads: then the next is to be asked.
func bounded(ctx context.Context, l lead) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	stop := context.AfterFunc(l.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}
