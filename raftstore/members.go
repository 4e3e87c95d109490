package raftstore

import (
	"errors"
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
	Removed bool   `json:"removed,omitempty"` // as of Status
	Failure string `json:"failure,omitempty"` // why it has failed
}

// Stats returns a picture that may be a moment old; its fields were not read at one instant.
func (s *Store) Stats() Stats {
	st := Stats{
		ID: s.config.ID, Format: s.config.Format, Term: s.raft.CurrentTerm(), Last: s.raft.LastIndex(),
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

// removed reports whether this controller is not one of its cluster's any more, as far as it can know. One that is new
// goes through states that do not list it yet, but then a leader sends them. Raft's configuration would not tell: the
// change that removes a controller may not reach it.
func (s *Store) removed() bool {
	cluster, ok := s.State().Cluster()
	if !ok {
		return false
	}
	_, listed := cluster.Controller(s.config.ID)
	_, leader := s.raft.LeaderWithID()
	return !listed && leader == ""
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
	now := time.Now()
	var members []Member
	for _, v := range s.voters() {
		m := Member{ID: string(v.ID), Address: string(v.Address), Voter: v.Suffrage == raft.Voter, Leader: v.ID == leader}
		if m.ID == s.config.ID {
			m.Alive, m.Stats = true, s.Stats()
		} else if seen, ok := s.sightings.get(m.ID); ok {
			m.Alive, m.Silent, m.Lag, m.Stats = seen.alive(now), seen.silent(now), seen.lag(), seen.stats
		}
		members = append(members, m)
	}
	return members
}

// A sighting is what a leader knows of one other controller.
type sighting struct {
	since    time.Time // when it was first asked
	answered time.Time // when it last answered; zero: not yet
	missed   bool      // it has not answered the last question
	stats    Stats     // its last answer
	commit   uint64    // up to which entries were committed when it was last asked and answered
	current  time.Time // since when all its answers were up to date, without one missing; zero: they are not
}

// next returns the sighting after a question that was asked at a time, when entries up to commit were committed. An
// error means that there was no answer.
func (s sighting) next(answer Stats, err error, now time.Time, commit uint64) sighting {
	if s.since.IsZero() {
		s.since = now
	}
	if s.missed = err != nil || answer.Failure != ""; s.missed {
		s.current = time.Time{}
		return s
	}
	s.answered, s.stats, s.commit = now, answer, commit
	switch {
	case s.lag() > lagging:
		s.current = time.Time{}
	case s.current.IsZero():
		s.current = now
	}
	return s
}

// lag returns how many committed entries it did not have.
func (s sighting) lag() uint64 {
	if s.answered.IsZero() || s.stats.Last >= s.commit {
		return 0
	}
	return s.commit - s.stats.Last
}

// silent returns for how long it has not answered.
func (s sighting) silent(now time.Time) time.Duration {
	if s.answered.IsZero() {
		return now.Sub(s.since)
	}
	return now.Sub(s.answered)
}

// alive reports whether it answered lately.
func (s sighting) alive(now time.Time) bool {
	return !s.answered.IsZero() && s.silent(now) < aliveWithin
}

// sightings are what the leader's steward knows of the other controllers. They are empty where none leads.
type sightings struct {
	mu sync.Mutex
	of map[string]sighting
}

// get returns what is known of a controller, false if nothing is.
func (s *sightings) get(id string) (sighting, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, ok := s.of[id]
	return seen, ok
}

// replace forgets all but those.
func (s *sightings) replace(of map[string]sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of = of
}
