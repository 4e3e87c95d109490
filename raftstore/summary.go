package raftstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/samara-hpc/samara/fleet"
)

// ErrNoState means that a directory holds no state of a cluster.
var ErrNoState = errors.New("it holds no state of a cluster")

// A Summary is what the directory of a store holds.
type Summary struct {
	Voters   []string       `json:"voters"`             // ids
	Learners []string       `json:"learners,omitempty"` // ids of those without a vote
	Term     uint64         `json:"term"`
	Last     uint64         `json:"last"`     // index of the last entry
	Revision fleet.Revision `json:"revision"` // up to which entries were known to be committed; State's
	State    fleet.State    `json:"-"`
}

// Inspect reads the directory of a store that is not open. It checks all of it, as Open does, and changes nothing. The
// error wraps ErrNoState if there is nothing, ErrBusy if another process uses the directory, and ErrCorrupt if
// something in it is damaged.
func Inspect(dir string) (Summary, error) {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return Summary{}, fmt.Errorf("controller state: %s: %w", dir, ErrNoState)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return Summary{}, fmt.Errorf("controller state: %w", err)
	}
	defer lock.Close() // it holds nothing
	sum, err := inspect(dir)
	if err != nil {
		return Summary{}, fmt.Errorf("controller state: %w", err)
	}
	return sum, nil
}

func inspect(dir string) (sum Summary, err error) {
	path := filepath.Join(dir, logFile)
	fresh, err := checkLogFile(path)
	if err != nil {
		return sum, err
	}
	if fresh {
		return sum, fmt.Errorf("%s: %w", dir, ErrNoState)
	}
	bolt, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{
		ReadOnly: true, Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType,
	}})
	if err != nil {
		return sum, fmt.Errorf("%s: %w", path, err)
	}
	end := newLatch()
	j, err := newJournal(newTimedDisk(bolt, path, Config{}.withDefaults().WriteTimeout, end), func() uint64 { return 0 }, end)
	if err != nil {
		return sum, errors.Join(err, bolt.Close())
	}
	defer func() { err = errors.Join(err, j.disk.Close()) }()
	newest, state, err := readSnapshots(filepath.Join(dir, snapshotDir))
	if err != nil {
		return sum, err
	}
	commit, err := checkJournal(j, newest.Index)
	if err != nil {
		return sum, err
	}
	if sum.State, err = replay(j, state, newest.Index, commit, fleet.Format, func([]fleet.State) {}); err != nil {
		return sum, err
	}
	sum.Revision = sum.State.Revision()
	if err := sum.describe(j, newest); err != nil {
		return sum, err
	}
	if sum.Last == 0 {
		return sum, fmt.Errorf("%s: %w", dir, ErrNoState)
	}
	return sum, nil
}

// describe fills in what Raft knows.
func (sum *Summary) describe(j *journal, newest raft.SnapshotMeta) (err error) {
	// Of a store that was made and never used there is no term; checkJournal has found no damage.
	sum.Term, _ = j.GetUint64([]byte(raftKeys[0]))
	if sum.Last, err = j.LastIndex(); err != nil {
		return err
	}
	servers := newest.Configuration.Servers
	for i := newest.Index + 1; i <= sum.Last; i++ {
		var l raft.Log
		if _, err := j.read(i, &l); err != nil {
			return err
		}
		if l.Type == raft.LogConfiguration {
			servers = raft.DecodeConfiguration(l.Data).Servers // it panics on nonsense, but the checksum was right
		}
	}
	sum.Last = max(sum.Last, newest.Index)
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			sum.Voters = append(sum.Voters, string(s.ID))
		} else {
			sum.Learners = append(sum.Learners, string(s.ID))
		}
	}
	return nil
}

// readSnapshots reads all snapshots in dir and returns the newest and the state in it; both are zero if there is none.
// It does what snapshotStore.check does, but writes nothing: raft.FileSnapshotStore tries whether it can.
func readSnapshots(dir string) (newest raft.SnapshotMeta, state fleet.State, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return newest, state, err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), unfinished) {
			continue
		}
		meta, got, err := readSnapshotDir(filepath.Join(dir, e.Name()))
		if err != nil {
			return newest, state, corrupt(filepath.Join(dir, e.Name()), err)
		}
		if meta.Index >= newest.Index {
			newest, state = meta, got
		}
	}
	return newest, state, nil
}

// readSnapshotDir reads one snapshot of a raft.FileSnapshotStore (file_snapshot.go).
func readSnapshotDir(dir string) (raft.SnapshotMeta, fleet.State, error) {
	var meta struct {
		raft.SnapshotMeta
		CRC []byte
	}
	raw, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err != nil {
		return raft.SnapshotMeta{}, fleet.State{}, err
	}
	if err := json.Unmarshal(raw, &meta); err != nil {
		return raft.SnapshotMeta{}, fleet.State{}, err
	}
	f, err := os.Open(filepath.Join(dir, "state.bin"))
	if err != nil {
		return raft.SnapshotMeta{}, fleet.State{}, err
	}
	defer f.Close() // only read
	sum := crc64.New(crc64.MakeTable(crc64.ECMA))
	r := io.TeeReader(f, sum)
	if _, err := checkSnapshotHead(filepath.Base(dir), &meta.SnapshotMeta, r); err != nil {
		return raft.SnapshotMeta{}, fleet.State{}, err
	}
	state, err := readSnapshot(r)
	if err != nil {
		return raft.SnapshotMeta{}, fleet.State{}, err
	}
	if string(sum.Sum(nil)) != string(meta.CRC) {
		return raft.SnapshotMeta{}, fleet.State{}, errChecksum
	}
	return meta.SnapshotMeta, state, nil
}
