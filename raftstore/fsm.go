package raftstore

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/zstd"

	"github.com/samara-hpc/samara/fleet"
)

// A machine is the state machine that Raft drives. Raft calls all but Persist from one goroutine.
type machine struct {
	state   atomic.Pointer[fleet.State] // never nil
	changed signal                      // fires after state was replaced
	applied atomic.Uint64               // index of the last entry in state, or of one before it
	history history
	voters  atomic.Uint64 // index of the last change of the voters that Raft brought, or that a snapshot has
	format  int           // the newest that this controller understands
	end     *latch
	install func(index, term uint64) error // makes the log fit a snapshot from the leader

	replayed fleet.Revision // entries up to there were applied when the store was opened; Raft brings them again
	seen     fleet.Revision // of the last entry that Raft brought
}

var _ raft.BatchingFSM = (*machine)(nil)

func newMachine(format int, end *latch) *machine {
	m := &machine{format: format, end: end}
	m.state.Store(new(fleet.State))
	return m
}

// load starts from a state that is read from disk. The history already holds it.
func (m *machine) load(s fleet.State) {
	m.replayed = s.Revision()
	m.applied.Store(uint64(s.Revision()))
	m.publish(s)
}

// Apply implements raft.FSM. Raft prefers ApplyBatch.
func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. Each response is nil, the error for which the entry was refused, or the
// fleet.Revision at which an entry with the same id was accepted before. Readers
// see the state before the batch or after it, and are woken once.
//
// An entry that cannot be decoded ends the store. From then on nothing is applied and no snapshot taken: the entry
// stays in the log, for a release that can read it.
func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	responses := make([]any, len(logs))
	state := *m.state.Load()
	made := make([]fleet.State, 0, len(logs))
	for i, l := range logs {
		if err := m.end.get(); err != nil {
			responses[i] = uncertain(err)
			continue
		}
		if l.Type == raft.LogConfiguration {
			m.voters.Store(l.Index)
		}
		if m.seen = fleet.Revision(l.Index); m.seen <= m.replayed {
			continue
		}
		next, response, err := applyLog(state, l, m.format)
		if err != nil {
			m.end.set(err)
			responses[i] = uncertain(err)
			continue
		}
		state, responses[i] = next, response
		made = append(made, next)
	}
	if len(made) > 0 {
		m.history.add(made)
		m.applied.Store(uint64(state.Revision()))
		m.publish(state)
	}
	return responses
}

// applyLog returns the state after l, and the response of ApplyBatch. The error means that this replica cannot go on.
func applyLog(state fleet.State, l *raft.Log, format int) (next fleet.State, response any, err error) {
	rev := fleet.Revision(l.Index)
	if rev <= state.Revision() {
		return state, nil, fmt.Errorf("log entry %d came after revision %d: the log and the snapshots of this controller do not belong together; %s", l.Index, state.Revision(), cureReplace)
	}
	if l.Type != raft.LogCommand {
		return state.Advance(rev), nil, nil // a change of the voters
	}
	e, err := fleet.DecodeEntry(l.Data, format)
	if err != nil {
		return state, nil, fmt.Errorf("log entry %d: %w; upgrade samara on this controller to the release that the leader runs and start it again", l.Index, err)
	}
	first, again := state.Outcome(e.ID)
	next, refusal := state.Apply(e, rev)
	switch {
	case refusal != nil:
		return next, refusal, nil
	case again:
		return next, first.Revision, nil
	}
	return next, nil, nil
}

func (m *machine) publish(s fleet.State) {
	m.state.Store(&s)
	m.changed.fire()
}

// Snapshot implements raft.FSM. States are immutable, so that it costs a pointer.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if err := m.end.get(); err != nil {
		return nil, err // Raft believes the entry that ended us to be applied
	}
	if m.seen < m.replayed {
		return nil, errReplaying // the state is ahead of the index that Raft would give the snapshot
	}
	return frozen{*m.state.Load()}, nil
}

var errReplaying = errors.New("entries known since the start are still coming")

// Restore implements raft.FSM: the leader has sent a snapshot. If it fails, the state is as before.
func (m *machine) Restore(r io.ReadCloser) error {
	s, err := readSnapshot(r)
	if err != nil {
		return err
	}
	if err := checkFormat(s, m.format); err != nil {
		m.end.set(fmt.Errorf("snapshot from the leader: %w", err))
		return err
	}
	if err := m.fit(r); err != nil {
		return err
	}
	m.replayed = 0
	m.history.begin(s)
	m.applied.Store(uint64(s.Revision()))
	m.publish(s)
	return nil
}

// checkFormat refuses states that are newer than this controller understands.
func checkFormat(s fleet.State, format int) error {
	if s.Format() > format {
		return fmt.Errorf("%w: it is of format %d, this release understands up to %d; upgrade samara on this controller to the release that the leader runs and start it again", fleet.ErrSnapshot, s.Format(), format)
	}
	return nil
}

// fit makes the log fit the snapshot that r has read.
func (m *machine) fit(r io.ReadCloser) error {
	if w, ok := r.(raft.ReadCloserWrapper); ok { // Raft counts what is read
		r = w.WrappedReadCloser()
	}
	s, ok := r.(snapshotReader)
	if !ok {
		return fmt.Errorf("a snapshot in a %T does not say where it ends", r)
	}
	m.voters.Store(s.meta.ConfigurationIndex)
	return m.install(s.meta.Index, s.meta.Term)
}

// A frozen is a state to be written to disk while newer ones are made.
type frozen struct{ state fleet.State }

// Persist implements raft.FSMSnapshot. Raft closes or cancels sink.
func (f frozen) Persist(sink raft.SnapshotSink) error { return writeSnapshot(sink, f.state) }

// Release implements raft.FSMSnapshot.
func (f frozen) Release() {}

// snapshotWindow bounds the memory that a snapshot makes its reader spend on decompression, in bytes.
const snapshotWindow = 8 << 20

// writeSnapshot writes s compressed with zstd, checksum included.
func writeSnapshot(w io.Writer, s fleet.State) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(snapshotWindow), zstd.WithEncoderCRC(true))
	if err != nil {
		return fmt.Errorf("compress snapshot: %w", err)
	}
	if _, err := s.WriteTo(z); err != nil {
		_ = z.Close() // the first error counts
		return err
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress snapshot: %w", err)
	}
	return nil
}

// readSnapshot reads what writeSnapshot wrote, to the end of r. Errors wrap fleet.ErrSnapshot or are those of r.
func readSnapshot(r io.Reader) (fleet.State, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(snapshotWindow))
	if err != nil {
		return fleet.State{}, fmt.Errorf("%w: %w", fleet.ErrSnapshot, err)
	}
	defer z.Close()
	s, err := fleet.ReadState(z)
	if err != nil {
		return fleet.State{}, err
	}
	// ReadState stops at the last record; only the end of the frame has the checksum.
	if _, err := io.Copy(io.Discard, z); err != nil {
		return fleet.State{}, fmt.Errorf("%w: %w", fleet.ErrSnapshot, err)
	}
	return s, nil
}
