package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/samara-hpc/samara/fleet"
)

// RecoverOptions say which controller goes on alone.
type RecoverOptions struct {
	Dir     string // of its store, which must not be open
	ID      string
	Address string // host:port where other controllers will reach its Stream

	wrapDisk func(disk) disk // tests put faults here
}

// termsAhead is by how many terms at least a recovered store is ahead of the one it was.
const termsAhead = 1 << 20

// newTerm returns the term in which a store begins anew that has seen that one. It is far ahead of any that others may
// have seen. They may hold entries that this store has not, of its last term or of later ones that they elected leaders
// in. Raft takes two entries of one index and one term for the same, and must not find any such pair should one of
// the others come back; nor may a leader of theirs outrank this store. Terms count elections, so that the seconds since
// 1970 are out of their reach, and each beginning is ahead of those before it.
func newTerm(seen uint64) uint64 { return max(seen+termsAhead, uint64(max(0, time.Now().Unix()))) }

// Recover makes the controller whose store is in o.Dir the only one of its cluster, after a majority was lost for
// good: the only voter, and the only one that the state lists. It keeps every entry in its log, also those of which it
// does not know whether they were committed. Changes that were acknowledged by others alone, after this controller was
// cut off, are lost. None of the other controllers may ever be started again with the state it had: they could elect a
// leader of their own.
//
// If it is interrupted, or fails, the store is as it was before, or recovered. The error wraps ErrNoState if there is
// nothing, ErrBusy if another process uses the directory, ErrCorrupt if something in it is damaged, and
// fleet.ErrNotFound if the state does not list this controller.
func Recover(o RecoverOptions) (Summary, error) {
	has, err := HasState(o.Dir)
	if err != nil {
		return Summary{}, err
	}
	if !has {
		return Summary{}, fmt.Errorf("recover: %s: %w", o.Dir, ErrNoState)
	}
	err = offline(Config{Dir: o.Dir, ID: o.ID, Address: o.Address, wrapDisk: o.wrapDisk}, (*Store).recover)
	if err != nil {
		return Summary{}, fmt.Errorf("recover: %w", err)
	}
	return Inspect(o.Dir)
}

// offline opens the files of a store, but takes no part in Raft, does something, and closes them.
func offline(c Config, do func(*Store, *snapshotStore) error) (err error) {
	c = c.withDefaults()
	s := &Store{config: c, end: newLatch()}
	s.machine = newMachine(c.Format, s.end)
	defer func() {
		s.end.set(ErrClosed)
		s.close()
	}()
	if c.ID == "" || c.Address == "" {
		return fmt.Errorf("controller %q at %q: it needs a name and an address", c.ID, c.Address)
	}
	if s.lock, err = lockDir(c.Dir); err != nil {
		return err
	}
	snapshots, err := s.openFiles()
	if err != nil {
		return err
	}
	return do(s, snapshots)
}

// recover writes the snapshot that makes this controller the only one.
func (s *Store) recover(snapshots *snapshotStore) error {
	last, err := s.journal.LastIndex()
	if err != nil {
		return err
	}
	list, err := snapshots.List()
	if err != nil {
		return err
	}
	state := s.State()
	index := uint64(state.Revision()) // up to there the state holds everything
	for _, meta := range list {
		index = max(index, meta.Index)
	}
	if state, err = replay(s.journal, state, index, last, s.config.Format, func([]fleet.State) {}); err != nil {
		return err
	}
	if state, err = alone(state, max(index, last), s.config.ID); err != nil {
		return err
	}
	term, err := s.journal.GetUint64([]byte(raftKeys[0]))
	if err != nil {
		return err
	}
	return s.begin(snapshots, state, newTerm(term))
}

// alone returns state as it is after entries that follow index and remove all controllers but the one with that id.
func alone(state fleet.State, index uint64, id string) (fleet.State, error) {
	cluster, ok := state.Cluster()
	if !ok {
		return state, fmt.Errorf("the state names no cluster: %w", fleet.ErrNotFound)
	}
	var names []string
	for _, ctl := range cluster.Controllers {
		names = append(names, ctl.ID)
	}
	if !slices.Contains(names, id) {
		return state, fmt.Errorf("controller %s: %w among those of cluster %s: %s", id, fleet.ErrNotFound, cluster.Name, strings.Join(names, ", "))
	}
	rev := fleet.Revision(index)
	for _, other := range names {
		if other == id {
			continue
		}
		rev++
		var err error
		state, err = state.Apply(fleet.Entry{
			Command: fleet.RemoveController{ID: other}, At: time.Now().UTC(), Who: "controller/" + id, Why: "controller " + id + " goes on alone",
		}, rev)
		if err != nil {
			return state, err
		}
	}
	return state.Advance(rev + 1), nil // the change of the voters
}

// begin makes this controller the only voter, with that state, in that term. The snapshot's appearance decides; what
// comes before it changes nothing that counts, and what comes after it is made up for by Open.
func (s *Store) begin(snapshots *snapshotStore, state fleet.State, term uint64) error {
	// A term without a vote in it makes no promise.
	key := []byte(raftKeys[0])
	if err := s.journal.disk.Set(key, sealValue(key, binary.BigEndian.AppendUint64(nil, term))); err != nil {
		return err
	}
	index := uint64(state.Revision())
	voters := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: raft.ServerID(s.config.ID), Address: raft.ServerAddress(s.config.Address),
	}}}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(s.config.Address)) // all it does is to encode addresses
	sink, err := snapshots.Create(raft.SnapshotVersionMax, index, term, voters, index, transport)
	if err != nil {
		return err
	}
	if err := writeSnapshot(sink, state); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return err
	}
	return s.journal.adopt(index, term)
}

// mkdir makes a directory for a store, which holds the cluster's keys.
func mkdir(dir string) error {
	return errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o700))
}
