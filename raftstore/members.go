package raftstore

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// aliveWithin is how recently a controller must have answered its leader to count as alive.
const aliveWithin = 3 * time.Second

// Stats is what a store says of itself to the store that leads. Indexes are those of Raft's log.
type Stats struct {
	ID      string `json:"id"`
	Format  int    `json:"format"` // the newest format of entries and snapshots that it understands
	Term    uint64 `json:"term"`
	Last    uint64 `json:"last"`    // of the last entry in its log
	Applied uint64 `json:"applied"` // up to which entries were given to its state
	Commit  uint64 `json:"commit"`  // up to which it knows entries to be committed
	Voter   bool   `json:"voter"`
	Removed bool   `json:"removed,omitempty"` // its state has a cluster that does not list it
	Failure string `json:"failure,omitempty"` // why it has failed
}

// Stats returns a picture that may be a moment old; its fields were not read at one instant.
func (s *Store) Stats() Stats {
	st := Stats{
		ID: s.config.ID, Term: s.raft.CurrentTerm(), Last: s.raft.LastIndex(),
		Applied: s.raft.AppliedIndex(), Commit: s.raft.CommitIndex(), Removed: s.removed(),
	}
	for _, v := range s.voters() {
		st.Voter = st.Voter || v.ID == raft.ServerID(s.config.ID) && v.Suffrage == raft.Voter
	}
	if err := s.end.get(); err != nil && !errors.Is(err, ErrClosed) {
		st.Failure = err.Error()
	}
	return st
}

// removed reports whether this controller was one of its cluster's and is no more.
func (s *Store) removed() bool {
	cluster, ok := s.State().Cluster()
	if !ok {
		return false
	}
	_, listed := cluster.Controller(s.config.ID)
	return !listed
}

// voters returns Raft's latest configuration, learners included.
func (s *Store) voters() []raft.Server { return s.raft.GetConfiguration().Configuration().Servers }

// A Member is a controller that Raft replicates to.
type Member struct {
	ID      string        `json:"id"`
	Address string        `json:"address"`
	Voter   bool          `json:"voter"` // false while it only learns
	Leader  bool          `json:"leader"`
	Alive   bool          `json:"alive"`  // it answered the leader within the last 3 s
	Silent  time.Duration `json:"silent"` // since it last answered the leader, in nanoseconds
	Lag     uint64        `json:"lag"`    // committed entries that it did not have when it last answered
	Stats   Stats         `json:"stats"`  // its last answer
}

// Members returns the controllers that Raft replicates to, in the order of its configuration. Only the leader knows how
// the others are: elsewhere Alive, Silent, Lag and Stats of any but this controller are zero.
func (s *Store) Members() []Member {
	_, leader := s.raft.LeaderWithID()
	var members []Member
	for _, v := range s.voters() {
		m := Member{ID: string(v.ID), Address: string(v.Address), Voter: v.Suffrage == raft.Voter, Leader: v.ID == leader}
		if m.ID == s.config.ID {
			m.Alive, m.Stats = true, s.Stats()
		} else if seen, ok := s.sightings.get(m.ID); ok {
			m.Silent = time.Since(seen.at)
			m.Alive, m.Stats, m.Lag = seen.answered && m.Silent < aliveWithin, seen.stats, seen.lag()
		}
		members = append(members, m)
	}
	return members
}

// A sighting is what a leader knows of one other controller.
type sighting struct {
	answered bool
	at       time.Time // of its last answer; before the first, of the first question
	stats    Stats     // the last answer
	commit   uint64    // up to which entries were committed when it was asked
}

// lag returns how many committed entries it did not have.
func (s sighting) lag() uint64 {
	if !s.answered || s.stats.Last >= s.commit {
		return 0
	}
	return s.commit - s.stats.Last
}

// sightings are what the leader's steward knows of the other controllers. They are empty where none leads.
type sightings struct {
	mu sync.Mutex
	of map[string]sighting
}

func (s *sightings) get(id string) (sighting, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, ok := s.of[id]
	return seen, ok
}

// clear forgets everything: a reign begins or ends.
func (s *sightings) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of = map[string]sighting{}
}

// keep forgets all but those controllers.
func (s *sightings) keep(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.of {
		if !slices.Contains(ids, id) {
			delete(s.of, id)
		}
	}
}

// expect notes that a controller is asked for the first time; silence counts from here.
func (s *sightings) expect(id string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.of[id]; !ok {
		s.of[id] = sighting{at: now}
	}
}

// put notes an answer.
func (s *sightings) put(id string, seen sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[id] = seen
}
