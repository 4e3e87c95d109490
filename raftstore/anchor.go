package raftstore

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// An anchor stands in the log in the place of the last entry that a snapshot from the leader covers, and has its term.
//
// A follower must be able to say the term of the entry before those that it is sent. Raft looks for it in the log, and in
// the snapshot only if nothing follows that in the log. So a follower that was sent a snapshot and then entries, but
// whose answer got lost, would refuse the same entries for ever and be sent the same snapshot again and again.
//
// An anchor is never sent on: nothing is kept before it, so that as a leader this controller sends its snapshot instead.
var anchorData = []byte("anchor of a snapshot")

func isAnchor(l *raft.Log) bool {
	return l.Type == raft.LogNoop && slices.Equal(l.Data, anchorData)
}

var errForeignLog = errors.New("the log is not of the history that the leader's snapshot is of; start this controller again, and it will drop that log")

// install makes the log fit a snapshot from the leader that ends with the entry at index, of that term. Raft waits
// for it and writes nothing meanwhile. If it fails, the snapshot must not be used.
func (j *journal) install(index, term uint64) error {
	first, err := j.FirstIndex()
	if err != nil {
		return err
	}
	last, err := j.LastIndex()
	if err != nil {
		return err
	}
	var l raft.Log
	switch _, err := j.read(index, &l); {
	case err == nil && l.Term == term:
		return nil // what follows in the log follows the snapshot too
	case err == nil:
		// Raft remembers the end of this log, and cannot be told to forget it.
		j.end.set(fmt.Errorf("%s: %w", j.disk.path, errForeignLog))
		return errForeignLog
	case !errors.Is(err, raft.ErrLogNotFound):
		return err
	case last > index && first > index+1:
		return fmt.Errorf("a snapshot up to entry %d, but entries up to %d are covered here already", index, first-1)
	}
	// In this order: without the anchor, older entries would seem to be followed by newer ones.
	if err := j.StoreLog(&raft.Log{Index: index, Term: term, Type: raft.LogNoop, Data: anchorData}); err != nil {
		return err
	}
	if first == 0 || first >= index {
		return nil
	}
	return j.DeleteRange(first, index-1)
}

// adopt makes the log fit the newest snapshot, if the process ended before that was done.
func (j *journal) adopt(index, term uint64) error {
	if err := j.dropForeign(index, term); err != nil {
		return err
	}
	last, err := j.LastIndex()
	if err != nil || last >= index {
		return err
	}
	return j.install(index, term) // all that the log holds is in the snapshot
}

// dropForeign deletes the log if it is not of the history that the newest snapshot is of, which Raft cannot do while
// it runs: see install. Nothing in it was ever committed that the snapshot does not hold.
func (j *journal) dropForeign(index, term uint64) error {
	var l raft.Log
	if _, err := j.read(index, &l); err != nil || l.Term == term {
		return nil // checkJournal has found no damage: there is no such entry
	}
	first, err := j.FirstIndex()
	if err != nil {
		return err
	}
	last, err := j.LastIndex()
	if err != nil {
		return err
	}
	return j.DeleteRange(first, last)
}

// tail returns the first index of the entries that end with the last one without a gap or an anchor; 0 if there are
// none. There is a gap if the process ended while it made the log fit a snapshot. (A raft.MonotonicLogStore would be
// cleared by Raft instead, but v1.8.0 also deletes what a follower acknowledged after the snapshot: removeOldLogs.)
func (j *journal) tail() (uint64, error) {
	first, err := j.FirstIndex()
	if err != nil {
		return 0, err
	}
	last, err := j.LastIndex()
	if err != nil || last == 0 {
		return 0, err
	}
	for i := last; i >= first; i-- {
		var l raft.Log
		if _, err := j.read(i, &l); errors.Is(err, raft.ErrLogNotFound) || isAnchor(&l) {
			if i == last {
				return 0, nil
			}
			return i + 1, nil
		} else if err != nil {
			return 0, err
		}
	}
	return first, nil
}
