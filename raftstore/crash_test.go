package raftstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/samara-hpc/samara/fleet"
)

const (
	childDir   = "RAFTSTORE_TEST_CHILD" // the directory of the store that a child process writes to
	childRound = "RAFTSTORE_TEST_ROUND" // sets the names of its nodes apart from those of other rounds

	crashRounds = 12
	crashers    = 8 // concurrent proposers in a child
)

// smallLog makes snapshots and compactions frequent, so that kills hit them.
func smallLog(c *Config) {
	c.SnapshotThreshold, c.TrailingLogs, c.SnapshotInterval = 40, 20, 20*time.Millisecond
}

// runChild opens the store in dir and proposes nodes until it is killed. It prints a line "ack REVISION NODE" after
// each acknowledgement.
func runChild(dir string) int {
	err := func() error {
		a, err := newAuthority()
		if err != nil {
			return err
		}
		s, err := open(dir, "c1", a, smallLog)
		if err != nil {
			return err
		}
		if err := s.Bootstrap(); err != nil && !errors.Is(err, ErrHasState) {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // should the parent die
		defer cancel()
		if err := s.WaitLeader(ctx); err != nil {
			return err
		}
		var acks sync.Mutex
		for p := range crashers {
			go func() {
				for i := 0; ; i++ {
					name := fmt.Sprintf("n%s-%d-%d", os.Getenv(childRound), p, i)
					rev, err := s.Propose(ctx, addNode(name))
					acks.Lock()
					if err != nil {
						fmt.Fprintf(os.Stderr, "propose %s: %v\n", name, err)
						os.Exit(1)
					}
					fmt.Printf("ack %d %s\n", rev, name)
					acks.Unlock()
				}
			}()
		}
		return s.Run(ctx)
	}()
	fmt.Fprintln(os.Stderr, "child:", err)
	return 1
}

// crash runs a child until life after its first acknowledgement, kills it, and adds what it acknowledged to acked.
func crash(t *testing.T, dir string, round int, life time.Duration, acked map[string]fleet.Revision) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe)
	child.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("%s=%d", childRound, round))
	var stderr strings.Builder
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	var kill *time.Timer
	seen := 0
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break // the line that the kill cut off was not printed, so not acknowledged
		}
		if kill == nil {
			kill = time.AfterFunc(life, func() { _ = child.Process.Kill() })
		}
		var rev fleet.Revision
		var name string
		if n, err := fmt.Sscanf(line, "ack %d %s", &rev, &name); n != 2 {
			t.Fatalf("child printed %q: %v", line, err)
		}
		acked[name] = rev
		seen++
	}
	_ = child.Wait() // killed
	if seen == 0 || stderr.Len() > 0 {
		t.Fatalf("round %d: child acknowledged %d changes and said:\n%s", round, seen, stderr.String())
	}
	t.Logf("round %d: killed %s after the first of %d acknowledged changes", round, life, seen)
}

func TestStoreKeepsWhatItAcknowledgedWhenKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "raft")
	acked := map[string]fleet.Revision{}
	for round := range crashRounds {
		crash(t, dir, round, time.Duration(random.IntN(400_000))*time.Microsecond, acked)
		s := startSingle(t, dir, smallLog)
		state := s.State()
		for name, rev := range acked {
			n, ok := state.Node(name)
			if !ok || n.Revision != rev {
				t.Fatalf("round %d: node %s, acknowledged at revision %d: found %t, at revision %d", round, name, rev, ok, n.Revision)
			}
		}
		s.stop(t)
		// A write may have been committed without its acknowledgement being read, so the state can be ahead.
		if got, want := replayDir(t, dir).Hash(), s.State().Hash(); got != want {
			t.Fatalf("round %d: replay of the log gives the state %s, want %s", round, got, want)
		}
	}
	if has, err := HasState(dir); !has || err != nil {
		t.Errorf("HasState = %t, %v; want true", has, err)
	}
}

// replayDir computes the state from what is on disk in dir, apart from the code that runs in a store.
func replayDir(t *testing.T, dir string) fleet.State {
	t.Helper()
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, keepSnapshots, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	snapshots := &snapshotStore{FileSnapshotStore: files}
	list, err := snapshots.List()
	if err != nil {
		t.Fatal(err)
	}
	var state fleet.State
	if len(list) > 0 {
		_, r, err := snapshots.Open(list[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		if state, err = readSnapshot(r); err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
	}
	bolt, err := openBolt(filepath.Join(dir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	defer bolt.Close()
	last, err := bolt.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(state.Revision()) + 1; i <= last; i++ {
		var l raft.Log
		if err := bolt.GetLog(i, &l); errors.Is(err, raft.ErrLogNotFound) {
			continue // compacted: covered by the snapshot, whose revision is that of its last command
		} else if err != nil {
			t.Fatal(err)
		}
		switch l.Type {
		case raft.LogConfiguration:
			state = state.Advance(fleet.Revision(i))
		case raft.LogCommand:
			e, err := fleet.DecodeEntry(l.Data, fleet.Format)
			if err != nil {
				t.Fatal(err)
			}
			state, _ = state.Apply(e, fleet.Revision(i)) // a refusal is part of history
		}
	}
	return state
}
