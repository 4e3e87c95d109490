package raftstore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/samara-hpc/samara/fleet"
)

const (
	// keepSnapshots is how many snapshots are kept: the newest, and one more in case that one is damaged.
	keepSnapshots = 2

	// maxSnapshotHead bounds what a snapshot says of itself, in bytes.
	maxSnapshotHead = 1 << 20
)

// A snapshotStore keeps snapshots in files. To the raft.FileSnapshotStore, which has a checksum on the state only, it
// adds a head to the state that repeats what Raft acts on: damage to either is noticed.
type snapshotStore struct {
	*raft.FileSnapshotStore
	dir string // that holds one directory for each snapshot
}

// A snapshotHead precedes the state: its length in 4 bytes, big-endian, then JSON.
type snapshotHead struct {
	Index, Term        uint64
	Configuration      raft.Configuration
	ConfigurationIndex uint64
}

func openSnapshots(dir string, logger hclog.Logger) (*snapshotStore, error) {
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, keepSnapshots, logger)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return &snapshotStore{FileSnapshotStore: files, dir: filepath.Join(dir, snapshotDir)}, nil
}

// Create implements raft.SnapshotStore.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, configIndex uint64, t raft.Transport) (raft.SnapshotSink, error) {
	head, err := json.Marshal(snapshotHead{Index: index, Term: term, Configuration: c, ConfigurationIndex: configIndex})
	if err != nil {
		return nil, err
	}
	sink, err := s.FileSnapshotStore.Create(version, index, term, c, configIndex, t)
	if err != nil {
		return nil, err
	}
	head = append(binary.BigEndian.AppendUint32(nil, uint32(len(head))), head...)
	if _, err := sink.Write(head); err != nil {
		return nil, errors.Join(err, sink.Cancel())
	}
	return sink, nil
}

// Open implements raft.SnapshotStore. It reads the whole file once to check it.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.FileSnapshotStore.Open(id)
	if err != nil {
		return nil, nil, err
	}
	n, err := checkSnapshotHead(id, meta, r)
	if err != nil {
		return nil, nil, errors.Join(err, r.Close())
	}
	meta.Size -= n // Raft sends as much to followers, which add a head of their own
	return meta, r, nil
}

// checkSnapshotHead reads the head from r, compares it with meta, and returns its length in r.
func checkSnapshotHead(id string, meta *raft.SnapshotMeta, r io.Reader) (int64, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return 0, err
	}
	raw := make([]byte, min(binary.BigEndian.Uint32(size[:]), maxSnapshotHead))
	if _, err := io.ReadFull(r, raw); err != nil {
		return 0, err
	}
	var head snapshotHead
	if err := json.Unmarshal(raw, &head); err != nil {
		return 0, err
	}
	got := snapshotHead{Index: meta.Index, Term: meta.Term, Configuration: meta.Configuration, ConfigurationIndex: meta.ConfigurationIndex}
	if meta.ID != id || meta.Version != raft.SnapshotVersionMax || !reflect.DeepEqual(got, head) {
		return 0, errors.New("meta.json and state.bin do not belong together")
	}
	return int64(len(size) + len(raw)), nil
}

// check reads all snapshots and returns the index of the newest and the state in it; both are zero if there is none.
// FileSnapshotStore passes over a damaged one without a word. What was left of unfinished ones is removed. tail
// returns the first index of the log's last entries without a gap, 0 if there are none.
func (s *snapshotStore) check(tail func() (uint64, error)) (index uint64, state fleet.State, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, fleet.State{}, err
	}
	var damaged string // the last one met
	var damage error
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") { // it was being written when the process ended
			if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
				return 0, fleet.State{}, err
			}
			continue
		}
		at, got, err := s.read(e.Name())
		if err != nil {
			damaged, damage = e.Name(), err
		} else if at >= index {
			index, state = at, got
		}
	}
	if damage == nil {
		return index, state, nil
	}
	cure := cureReplace
	if first, err := tail(); err == nil && first > 0 && first <= index+1 {
		cure = "move it away: the rest of the directory holds all that is in it"
	}
	return 0, fleet.State{}, fmt.Errorf("%s: %w: %w; %s", filepath.Join(s.dir, damaged), ErrCorrupt, damage, cure)
}

// read returns the index and the state of one snapshot.
func (s *snapshotStore) read(id string) (uint64, fleet.State, error) {
	meta, r, err := s.Open(id)
	if err != nil {
		return 0, fleet.State{}, err
	}
	state, err := readSnapshot(r)
	if err == nil && uint64(state.Revision()) > meta.Index {
		err = fmt.Errorf("it is at revision %d, its index is %d", state.Revision(), meta.Index)
	}
	return meta.Index, state, errors.Join(err, r.Close())
}
