package raftstore

import (
	"fmt"

	"github.com/samara-hpc/samara/fleet"
)

// Seed makes a store in dir that holds state, as after a restore from a backup. Its only voter is the controller with
// that id, and so is the only one that the state then lists: the others are removed. Revisions go on from state's. The
// error wraps ErrHasState if dir holds the state of a cluster already, ErrBusy if another process uses it, and
// fleet.ErrNotFound if state does not list the controller.
func Seed(dir string, state fleet.State, id, address string) error {
	state, err := alone(state, uint64(state.Revision()), id)
	if err != nil {
		return fmt.Errorf("new controller state: %w", err)
	}
	if err := mkdir(dir); err != nil {
		return fmt.Errorf("new controller state: %w", err)
	}
	err = offline(Config{Dir: dir, ID: id, Address: address}, func(s *Store, snapshots *snapshotStore) error {
		last, err := s.journal.LastIndex()
		if err != nil {
			return err
		}
		list, err := snapshots.List()
		if err != nil {
			return err
		}
		if last > 0 || len(list) > 0 {
			return fmt.Errorf("%s: %w", dir, ErrHasState)
		}
		seen, _ := s.journal.GetUint64([]byte(raftKeys[0])) // checkJournal has found no damage: an error means none
		return s.begin(snapshots, state, newTerm(seen))
	})
	if err != nil {
		return fmt.Errorf("new controller state: %w", err)
	}
	return nil
}
