package raftstore

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/hashicorp/raft"
)

// ErrCorrupt means that a file of a store does not hold what was written to it.
var ErrCorrupt = errors.New("corrupt")

const cureReplace = "if other controllers hold the state, move the directory away and join this one again; otherwise restore it from a backup"

// corrupt says which file err was found in, and what to do.
func corrupt(path string, err error) error {
	if !errors.Is(err, ErrCorrupt) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return fmt.Errorf("%s: %w; %s", path, err, cureReplace)
}

// What a store keeps in its directory.
const (
	lockFile    = "lock"      // locked while a process uses the directory
	logFile     = "raft.db"   // the log and Raft's variables
	snapshotDir = "snapshots" // one directory for each snapshot, made by raft.FileSnapshotStore
)

// raftKeys are the variables that Raft keeps; any other key is damage to one of them. The term is the first, the vote
// follows.
var raftKeys = []string{"CurrentTerm", "LastVoteTerm", "LastVoteCand"}

// checkLogFile reports damage to the log's structure and to the keys in it, and whether the file is yet to be made.
func checkLogFile(path string) (fresh bool, err error) {
	err = checkBolt(path, func(bucket string, key []byte) error {
		if bucket == "logs" && len(key) == 8 || bucket == "conf" && slices.Contains(raftKeys, string(key)) {
			return nil
		}
		return fmt.Errorf("%w: key %q in bucket %q", ErrCorrupt, key, bucket)
	})
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, os.ErrNotExist):
		return true, nil
	case errors.Is(err, ErrCorrupt):
		return false, corrupt(path, err)
	default:
		return false, fmt.Errorf("%s: %w", path, err)
	}
}

// checkJournal reads and checks all of j. Entries above the index snapshot must follow it without a gap. It returns up
// to which index the entries are known to be committed.
func checkJournal(j *journal, snapshot uint64) (commit uint64, err error) {
	first, err := j.FirstIndex()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", j.disk.path, err)
	}
	last, err := j.LastIndex()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", j.disk.path, err)
	}
	for _, key := range raftKeys {
		_, err := j.Get([]byte(key))
		// The term is written before all else, and a vote together with its term.
		if errors.Is(err, ErrCorrupt) {
			return 0, err
		}
		if err != nil && key == raftKeys[0] && (last > 0 || snapshot > 0) {
			return 0, corrupt(j.disk.path, fmt.Errorf("%s: %w", key, err))
		}
	}
	if last > snapshot && first > snapshot+1 {
		return 0, corrupt(j.disk.path, fmt.Errorf("the log begins at entry %d, the newest snapshot ends at %d", first, snapshot))
	}
	for i := first; i <= last && last > 0; i++ {
		var l raft.Log
		known, err := j.read(i, &l)
		if errors.Is(err, raft.ErrLogNotFound) && i <= snapshot {
			continue // a gap that a snapshot from the leader covers
		}
		if errors.Is(err, ErrCorrupt) {
			return 0, err
		}
		if err == nil && i > snapshot && isAnchor(&l) {
			err = errors.New("only a snapshot that is missing has it")
		}
		if err != nil {
			return 0, corrupt(j.disk.path, fmt.Errorf("log entry %d: %w", i, err))
		}
		commit = max(commit, known)
	}
	return min(commit, last), nil
}
