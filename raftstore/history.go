package raftstore

import (
	"sort"
	"sync"

	"github.com/samara-hpc/samara/fleet"
)

// keepStates is how many of the last states are kept. They share all that did not change between them.
const keepStates = 4096

// StateAt returns the state as it was at revision rev. It knows the last 4096 revisions since the snapshot that this
// controller was started from or was sent; false means that rev is older, or yet to come here. With Wait it makes a
// stream of changes: compare the state that was seen last with the next.
func (s *Store) StateAt(rev fleet.Revision) (fleet.State, bool) { return s.machine.history.at(rev) }

// A history is the last states of a machine, without a gap between them. The zero value is empty.
type history struct {
	mu   sync.RWMutex
	ring []fleet.State // by revision, from oldest on and around the end
	next int           // where the next goes, once the ring is full
}

// begin forgets all and starts from s.
func (h *history) begin(s fleet.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring, h.next = []fleet.State{s}, 0
}

// add appends states, each made from the one before it.
func (h *history) add(states []fleet.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range states {
		if len(h.ring) < keepStates {
			h.ring = append(h.ring, s)
			continue
		}
		h.ring[h.next] = s
		h.next = (h.next + 1) % keepStates
	}
}

// at returns the state at rev, which is the last one made up to there: not every entry of Raft's makes one.
func (h *history) at(rev fleet.Revision) (fleet.State, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	nth := func(i int) fleet.State { return h.ring[(h.next+i)%len(h.ring)] }
	later := sort.Search(len(h.ring), func(i int) bool { return nth(i).Revision() > rev })
	if later == 0 || later == len(h.ring) && nth(later-1).Revision() < rev {
		return fleet.State{}, false
	}
	return nth(later - 1), true
}
