package raftstore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
)

var (
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("the store is closed")

	// ErrFailed means that the store broke, as by its disk. The error says how; other controllers go on.
	ErrFailed = errors.New("the store has failed")

	// ErrHasState means that a directory holds the state of a cluster already.
	ErrHasState = errors.New("it holds the state of a cluster already")

	// ErrBusy means that another process uses the directory.
	ErrBusy = errors.New("another process uses it")
)

// Config says how to open a Store. Fields that are zero and have a default get it.
type Config struct {
	Dir     string       // where the store keeps its files; made if missing, readable by the owner alone
	ID      string       // this controller's name; never to change
	Address string       // host:port where other controllers reach Stream; what Stream advertises
	Stream  *Stream      // closed by Open if it fails, otherwise by Run
	Logger  *slog.Logger // default: none

	// How long a controller waits for its leader, then for votes, before it stands for election: one to two times
	// as long, at random. Default: 500 ms, for controllers on one network.
	HeartbeatTimeout, ElectionTimeout time.Duration

	LeaseTimeout time.Duration // how long a leader leads on without a majority; default: 350 ms
	WriteTimeout time.Duration // for one write to the disk; default: 10 s

	SnapshotInterval  time.Duration // between looks at whether a snapshot is due: one to two times; default: 30 s
	SnapshotThreshold uint64        // entries since the last snapshot that make one due; default: 8192
	TrailingLogs      uint64        // entries kept behind a snapshot for followers that lag; default: 10240

	Peer   Peer // asks the other controllers; nil if there are none
	Format int  // the newest format of entries and snapshots to understand; default: fleet.Format

	// Of the leader's steward, which makes Raft's configuration follow the state's. Tests make them shorter.
	StewardInterval time.Duration // between its looks at the other controllers; default: 500 ms
	StableFor       time.Duration // how long a learner must be up to date before it gets a vote; default: 10 s
	SilentFor       time.Duration // without an answer, after which a voter counts as dead; default: 30 s
	StuckFor        time.Duration // without progress, after which a follower that answers is helped; default: 5 s

	wrapDisk func(disk) disk // tests put faults here
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.HeartbeatTimeout, 500 * time.Millisecond},
		{&c.ElectionTimeout, 500 * time.Millisecond},
		{&c.LeaseTimeout, 350 * time.Millisecond},
		{&c.WriteTimeout, 10 * time.Second},
		{&c.SnapshotInterval, 30 * time.Second},
		{&c.StewardInterval, 500 * time.Millisecond},
		{&c.StableFor, 10 * time.Second},
		{&c.SilentFor, 30 * time.Second},
		{&c.StuckFor, 5 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Format == 0 {
		c.Format = fleet.Format
	}
	if c.SnapshotThreshold == 0 {
		c.SnapshotThreshold = 8192
	}
	if c.TrailingLogs == 0 {
		c.TrailingLogs = 10240
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.wrapDisk == nil {
		c.wrapDisk = func(d disk) disk { return d }
	}
	return c
}

const (
	maxAppend  = 128              // entries in one message to a follower, and in one batch to apply
	rpcTimeout = 10 * time.Second // for a message to a follower
	poolSize   = 3                // connections kept to each of the others

	lockTimeout = time.Second // for the log file's own lock
)

// A Store is this controller's replica of the fleet. It takes part in Raft from Open until Run returns. Its methods
// may be called from any goroutine.
type Store struct {
	config  Config
	end     *latch // set when the store fails, and when it is closed
	machine *machine

	lock      *os.File
	journal   *journal
	transport *raft.NetworkTransport
	raft      *raft.Raft

	leadership signal // fires when the leader or this controller's role may have changed
	observer   *raft.Observer
	observed   chan raft.Observation
	watching   sync.WaitGroup // the goroutine that reads observed

	sightings sightings      // of the other controllers, while this one leads
	chores    sync.WaitGroup // what Run does beside waiting

	lookout       lookout
	replies       replies       // of followers, to this leader
	readyIn       atomic.Uint64 // the term of this leader in which a barrier was passed
	unleased      atomic.Uint64 // the term of this leader in which it tried to hand over leadership
	barriers      rounds
	verifications rounds

	gate      sync.Mutex
	closing   bool           // no more proposals
	proposals sync.WaitGroup // given to Raft and not answered
	slots     chan struct{}  // one for each proposal
}

// Open opens the store in c.Dir and checks every byte in it. On return the state is that of the last snapshot and of
// all entries that were known to be committed when the log was last written to. The error wraps ErrCorrupt, naming
// the file and the cure, if something in the directory is damaged; ErrBusy if another process uses it. A Store must
// be closed by Run.
func Open(c Config) (*Store, error) {
	c = c.withDefaults()
	s := &Store{config: c, end: newLatch(), observed: make(chan raft.Observation, 16), slots: make(chan struct{}, maxProposals)}
	s.machine = newMachine(c.Format, s.end)
	if err := s.open(); err != nil {
		s.end.set(ErrClosed)
		s.close()
		return nil, fmt.Errorf("open controller state: %w", err)
	}
	return s, nil
}

func (s *Store) open() error {
	c := s.config
	if c.ID == "" || c.Stream == nil || c.Address != c.Stream.Addr().String() {
		return fmt.Errorf("controller %q at %q: it needs a name, and an address that its stream advertises", c.ID, c.Address)
	}
	c.Stream.logger = c.Logger
	// The state holds the cluster's keys.
	if err := mkdir(c.Dir); err != nil {
		return err
	}
	var err error
	if s.lock, err = lockDir(c.Dir); err != nil {
		return err
	}
	snapshots, err := s.openFiles()
	if err != nil {
		return err
	}
	logger := newRaftLogger(c.Logger)
	s.transport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: c.Stream, Logger: logger, MaxPool: poolSize, Timeout: rpcTimeout,
		MaxRPCsInFlight: 1, // pipelining can stop for good after one failed write of a follower, unnoticed: hashicorp/raft issue 612
	})
	s.observer = raft.NewObserver(s.observed, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.RaftState, raft.LeaderObservation:
			return true
		}
		return false
	})
	if err := s.startRaft(s.raftConfig(), snapshots); err != nil {
		return err
	}
	s.raft.RegisterObserver(s.observer)
	s.lookout.look(s.raft)
	s.watching.Go(s.watch)
	return nil
}

// openFiles checks what is in the directory, and opens the journal and the snapshots.
func (s *Store) openFiles() (*snapshotStore, error) {
	c, path := s.config, filepath.Join(s.config.Dir, logFile)
	snapshots, err := openSnapshots(c.Dir, newRaftLogger(c.Logger))
	if err != nil {
		return nil, err
	}
	fresh, err := checkLogFile(path)
	if err != nil {
		return nil, err
	}
	if fresh {
		if err := createLogFile(c.Dir); err != nil {
			return nil, err
		}
	}
	bolt, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	if s.journal, err = newJournal(newTimedDisk(c.wrapDisk(bolt), path, c.WriteTimeout, s.end), s.machine.applied.Load, s.end); err != nil {
		return nil, errors.Join(err, bolt.Close())
	}
	first, err := s.journal.FirstIndex()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	newest, state, err := snapshots.check(s.journal.tail)
	if err != nil {
		return nil, err
	}
	commit, err := checkJournal(s.journal, newest.Index)
	if err != nil {
		return nil, err
	}
	if first == 0 && newest.Index == 0 {
		err = forgetBootstrap(s.journal)
	} else {
		err = s.journal.adopt(newest.Index, newest.Term)
	}
	if err != nil {
		return nil, err
	}
	if err := checkFormat(state, c.Format); err != nil {
		return nil, err
	}
	s.machine.history.begin(state)
	if state, err = replay(s.journal, state, newest.Index, commit, c.Format, s.machine.history.add); err != nil {
		return nil, err
	}
	s.machine.voters.Store(newest.ConfigurationIndex)
	s.machine.load(state)
	s.machine.install = s.journal.install
	return snapshots, nil
}

// replay applies the entries of j after index, up to commit, and hands over each state that this makes. Raft could do
// as much (RestoreCommittedLogs), but then passes over the voters that those entries name (v1.8.0, NewRaft), and hangs if
// they are very many.
func replay(j *journal, state fleet.State, index, commit uint64, format int, made func([]fleet.State)) (fleet.State, error) {
	for i := index + 1; i <= commit; i++ {
		var l raft.Log
		if _, err := j.read(i, &l); errors.Is(err, raft.ErrLogNotFound) {
			break // it was of another history
		} else if err != nil {
			return state, err
		}
		if l.Type != raft.LogCommand && l.Type != raft.LogConfiguration {
			continue
		}
		var err error
		if state, _, err = applyLog(state, &l, format); err != nil {
			return state, err
		}
		made([]fleet.State{state})
	}
	return state, nil
}

// lockDir takes the directory for this process. The lock ends with the file, or with the process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%w; is samara serve running?", ErrBusy)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), f.Close())
	}
	return f, nil
}

// openBolt opens a log file that was checked.
func openBolt(path string) (*raftboltdb.BoltStore, error) {
	bolt, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{
		Timeout:      lockTimeout, // for a lock that only programs other than samara can hold
		FreelistType: bbolt.FreelistMapType,
		// The list of free pages is written too. Without it bbolt rebuilds it when it opens the file, in a goroutine
		// of its own that takes the process down on a damaged page.
		NoFreelistSync: false,
	}})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return bolt, nil
}

// createLogFile makes an empty log, under another name first: a log file is whole from the moment that it exists.
func createLogFile(dir string) error {
	path := filepath.Join(dir, logFile)
	temporary := path + ".new"
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	bolt, err := openBolt(temporary)
	if err != nil {
		return err
	}
	if err := bolt.Close(); err != nil {
		return fmt.Errorf("%s: %w", temporary, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *Store) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(s.config.ID)
	c.Logger = newRaftLogger(s.config.Logger)
	c.HeartbeatTimeout = s.config.HeartbeatTimeout
	c.ElectionTimeout = s.config.ElectionTimeout
	c.LeaderLeaseTimeout = s.config.LeaseTimeout
	c.SnapshotInterval = s.config.SnapshotInterval
	c.SnapshotThreshold = s.config.SnapshotThreshold
	c.TrailingLogs = s.config.TrailingLogs
	c.MaxAppendEntries = maxAppend
	c.BatchApplyCh = true
	c.NoSnapshotRestoreOnStart = true // the state was read before
	c.ShutdownOnRemove = false        // a controller that was removed says so; it does not vanish
	c.NoLegacyTelemetry = true
	return c
}

// startRaft runs raft.NewRaft in a goroutine that the journal may end.
func (s *Store) startRaft(c *raft.Config, snapshots *snapshotStore) error {
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.raft, err = raft.NewRaft(c, s.machine, s.journal, s.journal, snapshots, listener{s.transport, &s.replies})
	}()
	<-done
	if failed := s.end.get(); failed != nil {
		return failed
	}
	return err
}

// watch passes on what Raft says of leaders.
func (s *Store) watch() {
	for {
		select {
		case <-s.observed:
			s.lookout.look(s.raft)
			s.leadership.fire()
		case <-s.end.done:
			return
		}
	}
}
