package raftstore

import "time"

const (
	// lagging is how many committed entries a controller may miss and count as up to date: one message's worth, since
	// there are always some on their way.
	lagging = maxAppend

	// snapshotPatience is how much longer a follower may stand still that is being sent a snapshot, which counts as
	// progress only at its end.
	snapshotPatience = 12
)

// A remedy is what is done for a follower that answers, but gets none of the entries that it misses.
type remedy int

const (
	wait      remedy = iota
	reconnect        // close the connections to it: Raft makes new ones, and asks where to go on
	resign           // let another lead, who starts afresh
)

// A watchdog watches over one follower. Raft's heartbeats go on, on a connection of their own, while its replication
// to the same follower stands still: a follower that hears them calls no election, and nobody notices (hashicorp/raft
// issue 612). The zero value is ready.
type watchdog struct {
	last     uint64    // of the follower's log
	since    time.Time // when that was first seen, or the last remedy was given
	remedies int       // given since the follower stands still
}

// look returns what is to be done for a follower, at a time, that was seen so. first is the index of the first entry in
// the leader's log; patience is how long a follower may stand still. A remedy has twice that to work.
func (w *watchdog) look(seen sighting, first uint64, now time.Time, patience time.Duration) remedy {
	if seen.missed || seen.lag() == 0 || seen.stats.Last != w.last || w.since.IsZero() {
		*w = watchdog{last: seen.stats.Last, since: now}
		return wait
	}
	if seen.stats.Last+1 < first {
		patience *= snapshotPatience
	}
	if w.remedies > 0 {
		patience *= 2
	}
	if now.Sub(w.since) < patience {
		return wait
	}
	w.since = now
	w.remedies++
	if w.remedies == 2 {
		return resign
	}
	return reconnect
}
