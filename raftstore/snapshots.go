package raftstore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
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

	// unfinished ends the name of a snapshot that is being written, or removed.
	unfinished = ".tmp"

	// maxSnapshotHead bounds what a snapshot says of itself, in bytes.
	maxSnapshotHead = 1 << 20
)

// A snapshotStore keeps snapshots in files. To the raft.FileSnapshotStore, which has a checksum on the state only, it
// adds a head to the state that repeats what Raft acts on: damage to either is noticed. It removes old snapshots itself,
// since half of a snapshot that FileSnapshotStore was removing when the process was killed looks like a damaged one.
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
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, math.MaxInt, logger) // it removes none
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
	return snapshotSink{sink, s}, nil
}

// A snapshotSink is a snapshot that is being written.
type snapshotSink struct {
	raft.SnapshotSink
	store *snapshotStore
}

// Close finishes the snapshot, and removes those that it makes superfluous.
func (s snapshotSink) Close() error {
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	return s.store.removeOld()
}

// removeOld removes all but the newest snapshots. They lose their names first.
func (s *snapshotStore) removeOld() error {
	all, err := s.List()
	if err != nil {
		return err
	}
	for _, meta := range all[min(keepSnapshots, len(all)):] {
		path := filepath.Join(s.dir, meta.ID)
		if err := os.Rename(path, path+unfinished); err != nil {
			return err
		}
		if err := os.RemoveAll(path + unfinished); err != nil {
			return err
		}
	}
	return nil
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
	return meta, snapshotReader{r, *meta}, nil
}

// A snapshotReader reads the state in a snapshot and knows where in the log it ends.
type snapshotReader struct {
	io.ReadCloser
	meta raft.SnapshotMeta
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

// check reads all snapshots and returns the newest and the state in it; both are zero if there is none.
// FileSnapshotStore passes over a damaged one without a word. What was left of unfinished ones is removed. tail
// returns the first index of the log's last entries without a gap, 0 if there are none.
func (s *snapshotStore) check(tail func() (uint64, error)) (newest raft.SnapshotMeta, state fleet.State, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return newest, state, err
	}
	var damaged string // the last one met
	var damage error
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), unfinished) { // when the process ended
			if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
				return newest, state, err
			}
			continue
		}
		meta, got, err := s.read(e.Name())
		if err != nil {
			damaged, damage = e.Name(), err
		} else if meta.Index >= newest.Index {
			newest, state = *meta, got
		}
	}
	if damage == nil {
		return newest, state, nil
	}
	cure := cureReplace
	if first, err := tail(); err == nil && first > 0 && first <= newest.Index+1 {
		cure = "move it away: the rest of the directory holds all that is in it"
	}
	return newest, state, fmt.Errorf("%s: %w: %w; %s", filepath.Join(s.dir, damaged), ErrCorrupt, damage, cure)
}

// read reads one snapshot to its end.
func (s *snapshotStore) read(id string) (*raft.SnapshotMeta, fleet.State, error) {
	meta, r, err := s.Open(id)
	if err != nil {
		return nil, fleet.State{}, err
	}
	state, err := readSnapshot(r)
	if err == nil && uint64(state.Revision()) > meta.Index {
		err = fmt.Errorf("it is at revision %d, its index is %d", state.Revision(), meta.Index)
	}
	return meta, state, errors.Join(err, r.Close())
}
