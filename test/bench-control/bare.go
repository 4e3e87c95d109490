package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// bareEntry is the size of an entry of the bare loop, in bytes; those of controllers are about as long.
const bareEntry = 256

// A bare is raft nodes with nothing around them: plain TCP, defaults, a state machine that does nothing.
type bare struct {
	nodes  []*raft.Raft
	stores []*raftboltdb.BoltStore
	leader *raft.Raft
}

func startBare(ctx context.Context, dir string, n int) (*bare, error) {
	b := &bare{}
	var voters raft.Configuration
	for i := range n {
		if err := b.start(filepath.Join(dir, fmt.Sprint(i)), raft.ServerID(fmt.Sprint(i)), &voters); err != nil {
			b.stop()
			return nil, fmt.Errorf("bare raft: %w", err)
		}
	}
	if err := b.nodes[0].BootstrapCluster(voters).Error(); err != nil {
		b.stop()
		return nil, fmt.Errorf("bare raft: %w", err)
	}
	elected := time.NewTimer(time.Minute)
	defer elected.Stop()
	select {
	case <-b.nodes[0].LeaderCh(): // the others do not know of the cluster before it speaks to them
		b.leader = b.nodes[0]
		return b, nil
	case <-elected.C:
		b.stop()
		return nil, errors.New("bare raft: no leader within a minute")
	case <-ctx.Done():
		b.stop()
		return nil, ctx.Err()
	}
}

func (b *bare) start(dir string, id raft.ServerID, voters *raft.Configuration) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	logger := hclog.NewNullLogger()
	transport, err := raft.NewTCPTransportWithLogger("127.0.0.1:0", nil, 3, 10*time.Second, logger)
	if err != nil {
		return err
	}
	store, err := raftboltdb.NewBoltStore(filepath.Join(dir, "raft.db"))
	if err != nil {
		return err
	}
	b.stores = append(b.stores, store)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, 1, logger)
	if err != nil {
		return err
	}
	c := raft.DefaultConfig()
	c.LocalID, c.Logger, c.BatchApplyCh, c.NoLegacyTelemetry = id, logger, true, true
	node, err := raft.NewRaft(c, idle{}, store, store, snapshots, transport)
	if err != nil {
		return err
	}
	b.nodes = append(b.nodes, node)
	voters.Servers = append(voters.Servers, raft.Server{ID: id, Address: transport.LocalAddr()})
	return nil
}

func (b *bare) write(context.Context, uint64) error {
	return b.leader.Apply(bytes.Repeat([]byte{'x'}, bareEntry), 0).Error()
}

func (b *bare) stop() {
	for _, n := range b.nodes {
		_ = n.Shutdown().Error() // nothing of it is needed any more
	}
	for _, s := range b.stores {
		_ = s.Close()
	}
}

// An idle is a state machine without a state.
type idle struct{}

func (idle) Apply(*raft.Log) any                  { return nil }
func (idle) Snapshot() (raft.FSMSnapshot, error)  { return idle{}, nil }
func (idle) Restore(r io.ReadCloser) error        { return r.Close() }
func (idle) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (idle) Release()                             {}
