package raftstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/samara-hpc/samara/fleet"
)

func TestSingleControllerLeadsFast(t *testing.T) {
	s := startSingle(t, t.TempDir(), func(c *Config) {
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaseTimeout = 0, 0, 0 // the defaults
	})
	defer s.stop(t)
	// Raft waits at most twice this before it stands; nobody else is to be asked.
	if d := s.config.HeartbeatTimeout * 2; d >= 1500*time.Millisecond {
		t.Errorf("an only controller may wait %s for its election, want less than 1.5 s", d)
	}
	st := s.Status()
	if st.Role != "leader" || st.Leader != "c1" || st.Term == 0 || st.Last == 0 || st.Commit == 0 {
		t.Errorf("status of an only controller: %+v", st)
	}
}

func TestBootstrapHappensOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	if has, err := HasState(dir); has || err != nil {
		t.Errorf("HasState before Open = %t, %v; want false", has, err)
	}
	s := startSingle(t, dir, nil)
	if err := s.Bootstrap(); !errors.Is(err, ErrHasState) {
		t.Errorf("second Bootstrap: %v, want %v", err, ErrHasState)
	}
	if _, err := HasState(dir); !errors.Is(err, ErrBusy) {
		t.Errorf("HasState of an open store: %v, want %v", err, ErrBusy)
	}
	if _, err := open(dir, "c1", testAuthority(t), nil); !errors.Is(err, ErrBusy) {
		t.Errorf("second Open: %v, want %v", err, ErrBusy)
	}
	s.stop(t)
	if has, err := HasState(dir); !has || err != nil {
		t.Errorf("HasState after Bootstrap = %t, %v; want true", has, err)
	}
	again, err := open(dir, "c1", testAuthority(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := start(again)
	defer r.stop(t)
	if err := r.Bootstrap(); !errors.Is(err, ErrHasState) {
		t.Errorf("Bootstrap after a restart: %v, want %v", err, ErrHasState)
	}
}

func TestBootstrapThatEndedHalfWayCanBeRepeated(t *testing.T) {
	dir := t.TempDir()
	s, err := open(dir, "c1", testAuthority(t), func(c *Config) {
		c.wrapDisk = func(d disk) disk { return logFails{d} }
	})
	if err != nil {
		t.Fatal(err)
	}
	r := start(s)
	if err := s.Bootstrap(); err == nil {
		t.Error("Bootstrap without a word in the log succeeded")
	}
	if err := awaitRun(t, r); err == nil {
		t.Error("Run returned no error after a failed write")
	}
	startSingle(t, dir, nil).stop(t)
}

// A logFails takes Raft's variables, but no entries.
type logFails struct{ disk }

func (logFails) StoreLogs([]*raft.Log) error { return errors.New("no space left on device") }

func TestStoreThatWasNotBootstrappedHasNoState(t *testing.T) {
	dir := t.TempDir()
	s, err := open(dir, "c1", testAuthority(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Propose(testContext(t), addNode("n1")); !errors.Is(err, ErrNotLeader) {
		t.Errorf("Propose without a cluster: %v, want %v", err, ErrNotLeader)
	}
	start(s).stop(t)
	if has, err := HasState(dir); has || err != nil {
		t.Errorf("HasState without Bootstrap = %t, %v; want false", has, err)
	}
}

func TestDirectoryIsForItsOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	startSingle(t, dir, nil).stop(t)
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("mode of the directory, which holds the cluster's keys: %o, want 700", got)
	}
}

func TestProposeTellsRefusalsFromFailures(t *testing.T) {
	s := startSingle(t, t.TempDir(), nil)
	ctx := testContext(t)
	rev, err := s.Propose(ctx, addNode("n1"))
	if err != nil || rev == 0 {
		t.Fatalf("Propose = %d, %v", rev, err)
	}
	n, ok := s.State().Node("n1")
	if !ok || n.Revision != rev || s.State().Revision() != rev {
		t.Errorf("after Propose returned %d: node %+v (found %t) at revision %d", rev, n, ok, s.State().Revision())
	}
	if _, err := s.Propose(ctx, addNode("n1")); !errors.Is(err, fleet.ErrExists) || errors.Is(err, ErrUncertain) {
		t.Errorf("Propose of a node that exists: %v, want %v alone", err, fleet.ErrExists)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Propose(done, addNode("n2")); !errors.Is(err, context.Canceled) {
		t.Errorf("Propose with a done context: %v, want %v", err, context.Canceled)
	}
	big := addNode("n3")
	big.Command = fleet.AddNodes{Nodes: []fleet.Node{{Name: "n3", Settings: fleet.Settings{KernelArgs: []string{strings.Repeat("a", fleet.MaxEntry)}}}}}
	if _, err := s.Propose(ctx, big); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("Propose of more than %d bytes: %v, want %v", fleet.MaxEntry, err, fleet.ErrInvalid)
	}
	s.stop(t)
	if _, err := s.Propose(ctx, addNode("n4")); !errors.Is(err, ErrClosed) {
		t.Errorf("Propose after Run: %v, want %v", err, ErrClosed)
	}
	if _, ok := s.State().Node("n1"); !ok {
		t.Error("State after Run has lost a node")
	}
}

func TestWaitFollowsChanges(t *testing.T) {
	s := startSingle(t, t.TempDir(), nil)
	ctx := testContext(t)
	before := s.State().Revision()
	woken := make(chan fleet.State, 1)
	go func() {
		state, err := s.Wait(ctx, before)
		if err != nil {
			t.Errorf("Wait: %v", err)
		}
		woken <- state
	}()
	rev := mustAdd(t, s.Store, "n", 1)
	if state := <-woken; state.Revision() < rev {
		t.Errorf("Wait(%d) = revision %d, want %d", before, state.Revision(), rev)
	}
	if state, err := s.Wait(ctx, before); err != nil || state.Revision() != rev {
		t.Errorf("Wait for what has happened = revision %d, %v; want %d", state.Revision(), err, rev)
	}
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if _, err := s.Wait(short, rev); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait for what does not happen: %v, want %v", err, context.DeadlineExceeded)
	}
	s.stop(t)
	if _, err := s.Wait(ctx, rev); !errors.Is(err, ErrClosed) {
		t.Errorf("Wait after Run: %v, want %v", err, ErrClosed)
	}
}

func TestLeadingEndsWithTheStore(t *testing.T) {
	s := startSingle(t, t.TempDir(), nil)
	reign, err := s.Leading(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if reign.Err() != nil {
		t.Errorf("the reign is over at once: %v", context.Cause(reign))
	}
	s.stop(t)
	select {
	case <-reign.Done():
	case <-testContext(t).Done():
		t.Error("the reign goes on after Run")
	}
	if _, err := s.Leading(testContext(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("Leading after Run: %v, want %v", err, ErrClosed)
	}
}

func TestStoreRestartsFromSnapshotAndLog(t *testing.T) {
	dir := t.TempDir()
	s := startSingle(t, dir, smallLog)
	mustAdd(t, s.Store, "a", 100)
	ctx := testContext(t)
	for i := 0; s.Status().Snapshot == 0; i++ { // the log grows until a snapshot is due
		if _, err := s.Propose(ctx, addNode(fmt.Sprintf("b%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	mustAdd(t, s.Store, "c", 10)
	want := s.State()
	s.stop(t)

	again := startSingle(t, dir, smallLog)
	defer again.stop(t)
	if got := again.State(); got.Hash() != want.Hash() {
		t.Errorf("after a restart: %d nodes at revision %d, want %d at %d", got.CountNodes(), got.Revision(), want.CountNodes(), want.Revision())
	}
	if again.Status().Snapshot == 0 {
		t.Error("no snapshot after the restart")
	}
	mustAdd(t, again.Store, "d", 1)
}

func TestOpenRestoresWhatWasCommittedWithoutHearingOfAnyone(t *testing.T) {
	dir := t.TempDir()
	s := startSingle(t, dir, nil)
	mustAdd(t, s.Store, "n", 50)
	s.stop(t)
	again, err := open(dir, "c1", testAuthority(t), func(c *Config) {
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaseTimeout = time.Hour, time.Hour, time.Hour // no election
	})
	if err != nil {
		t.Fatal(err)
	}
	// Each entry tells what was committed before it; the last one itself is for the election to decide.
	if got := again.State().CountNodes(); got < 49 {
		t.Errorf("state after Open: %d nodes, want 49 or 50", got)
	}
	start(again).stop(t)
}

func TestUndecodableEntryEndsTheStore(t *testing.T) {
	dir := t.TempDir()
	s := startSingle(t, dir, nil)
	mustAdd(t, s.Store, "n", 3)
	before := s.State().Hash()
	poison := s.raft.Apply([]byte(`{"kind":"node.frobnicate","at":"2026-01-01T00:00:00Z","who":"test","body":{}}`), 0)
	if err := poison.Error(); err != nil {
		t.Fatal(err)
	}
	err := awaitRun(t, s)
	want := fmt.Sprintf("log entry %d: ", poison.Index())
	if !errors.Is(err, fleet.ErrUndecodable) || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "upgrade samara") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Run after an entry of a newer release: %v; want one line that begins with %q and says what to do", err, want)
	}
	if _, err := s.Propose(testContext(t), addNode("n9")); !errors.Is(err, fleet.ErrUndecodable) {
		t.Errorf("Propose after the failure: %v", err)
	}
	if s.Status().Failure == "" || s.State().Hash() != before {
		t.Errorf("after the failure: status %+v, state %s, want %s", s.Status(), s.State().Hash(), before)
	}
	// A restart does not skip it, whether Open knows it to be committed or the election tells.
	again, err := open(dir, "c1", testAuthority(t), nil)
	if err == nil {
		err = awaitRun(t, start(again))
	}
	if !errors.Is(err, fleet.ErrUndecodable) {
		t.Errorf("after a restart: %v, want %v", err, fleet.ErrUndecodable)
	}
}

func TestOpenRefusesAStreamThatAdvertisesAnotherAddress(t *testing.T) {
	_, err := open(t.TempDir(), "c1", testAuthority(t), func(c *Config) { c.Address = "192.0.2.1:7600" })
	if err == nil || !strings.Contains(err.Error(), "192.0.2.1:7600") {
		t.Errorf("Open: %v, want an error that names the address", err)
	}
}

// A faultyDisk makes writes fail or hang once it is told to.
type faultyDisk struct {
	disk
	fault func() error // called before each write; may block
}

func (d *faultyDisk) StoreLogs(logs []*raft.Log) error {
	if err := d.fault(); err != nil {
		return err
	}
	return d.disk.StoreLogs(logs)
}

func (d *faultyDisk) Set(key, value []byte) error {
	if err := d.fault(); err != nil {
		return err
	}
	return d.disk.Set(key, value)
}

func TestFailedWriteEndsTheStore(t *testing.T) {
	full := make(chan struct{})
	s := startSingle(t, t.TempDir(), func(c *Config) {
		c.wrapDisk = func(d disk) disk {
			return &faultyDisk{disk: d, fault: func() error {
				select {
				case <-full:
					return errors.New("no space left on device")
				default:
					return nil
				}
			}}
		}
	})
	mustAdd(t, s.Store, "n", 1)
	close(full)
	if rev, err := s.Propose(testContext(t), addNode("n9")); !errors.Is(err, ErrUncertain) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("Propose on a full disk = %d, %v; want %v and the reason", rev, err, ErrUncertain)
	}
	if _, err := s.Propose(testContext(t), addNode("n10")); !errors.Is(err, ErrFailed) {
		t.Errorf("Propose to a store that has failed: %v, want %v", err, ErrFailed)
	}
	err := awaitRun(t, s)
	if err == nil || !strings.Contains(err.Error(), "raft.db: no space left on device; free space") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Run on a full disk: %v; want one line with the file, the reason and the cure", err)
	}
}

func TestStalledWriteEndsTheStore(t *testing.T) {
	stall, release := make(chan struct{}), make(chan struct{})
	s := startSingle(t, t.TempDir(), func(c *Config) {
		c.WriteTimeout = 100 * time.Millisecond
		c.wrapDisk = func(d disk) disk {
			return &faultyDisk{disk: d, fault: func() error {
				select {
				case <-stall:
					<-release
				default:
				}
				return nil
			}}
		}
	})
	mustAdd(t, s.Store, "n", 1)
	close(stall)
	if _, err := s.Propose(testContext(t), addNode("n9")); !errors.Is(err, ErrUncertain) || !errors.Is(err, errStalled) {
		t.Errorf("Propose on a disk that hangs: %v, want %v and %v", err, ErrUncertain, errStalled)
	}
	close(release)
	if err := awaitRun(t, s); !errors.Is(err, errStalled) || !strings.Contains(err.Error(), "check the disk") {
		t.Errorf("Run on a disk that hung: %v; want %v and the cure", err, errStalled)
	}
}
