package raftstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// Bootstrap makes this controller the only voter of a new cluster. It is called once in the life of a cluster, on one
// controller, whose store must be empty: otherwise it returns ErrHasState and changes nothing.
func (s *Store) Bootstrap() error {
	if err := s.end.get(); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	voters := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: raft.ServerID(s.config.ID), Address: raft.ServerAddress(s.config.Address),
	}}}
	err := s.await(s.raft.BootstrapCluster(voters))
	if errors.Is(err, raft.ErrCantBootstrap) {
		err = ErrHasState
	}
	if err != nil {
		return fmt.Errorf("bootstrap %s: %w", s.config.Dir, err)
	}
	return nil
}

// forgetBootstrap undoes a bootstrap, or a Seed, that ended half way: the term is written first, then what names the
// voters, and Raft refuses to start again on the term alone. The log and the snapshots must be empty. A term without a
// vote in it can be forgotten: whoever leads in it was elected by others.
func forgetBootstrap(j *journal) error {
	term, err := j.GetUint64([]byte(raftKeys[0]))
	if err != nil || term == 0 {
		return nil // checkJournal has found no damage: there is no term yet
	}
	if _, err := j.Get([]byte(raftKeys[1])); err == nil {
		return nil
	}
	return j.disk.Set([]byte(raftKeys[0]), sealValue([]byte(raftKeys[0]), make([]byte, 8)))
}

// HasState reports whether dir holds the state of a cluster. A directory that does not exist holds none. The error
// wraps ErrBusy if a Store has it open, and ErrCorrupt if it cannot be told.
func HasState(dir string) (bool, error) {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("controller state: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return false, fmt.Errorf("controller state: %w", err)
	}
	defer lock.Close() // it holds nothing
	has, err := hasState(dir)
	if err != nil {
		return false, fmt.Errorf("controller state: %w", err)
	}
	return has, nil
}

func hasState(dir string) (bool, error) {
	snapshots, err := filepath.Glob(filepath.Join(dir, snapshotDir, "*"))
	if err != nil {
		return false, err
	}
	if len(snapshots) > 0 {
		return true, nil
	}
	path := filepath.Join(dir, logFile)
	if fresh, err := checkLogFile(path); fresh || err != nil {
		return false, err
	}
	bolt, err := openBolt(path)
	if err != nil {
		return false, err
	}
	last, err := bolt.LastIndex()
	return last > 0, errors.Join(err, bolt.Close())
}
