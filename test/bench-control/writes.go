package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/raftstore"
)

// clients are the numbers of clients that write at once.
var clients = []int{1, 16, 256}

// writtenNodes is how many nodes the clients change.
const writtenNodes = 1000

// measureWrites lets clients write to the leader of three controllers, and to that of three bare nodes, in turn, so
// that what else the machine does hits both. Of the rounds it takes the sums.
func measureWrites(ctx context.Context, dir string, o options, r *result) (err error) {
	g, err := startGroup(ctx, filepath.Join(dir, "controllers"), 3)
	if err != nil {
		return err
	}
	defer func() { err = join(err, g.stop()) }()
	leader, err := g.leader(ctx)
	if err != nil {
		return err
	}
	if err := populate(ctx, leader.store, g, writtenNodes); err != nil {
		return err
	}
	bare, err := startBare(ctx, filepath.Join(dir, "bare"), 3)
	if err != nil {
		return err
	}
	defer bare.stop()
	r.WritesPerSecond, r.BareWritesPerSecond = map[string]float64{}, map[string]float64{}
	for _, n := range clients {
		key := fmt.Sprint(n)
		for round := range o.rounds {
			theirs, err := writeAll(ctx, n, o.round, bare.write)
			if err != nil {
				return fmt.Errorf("bare raft: %w", err)
			}
			ours, err := writeAll(ctx, n, o.round, func(ctx context.Context, i uint64) error { return write(ctx, leader.store, i) })
			if err != nil {
				return err
			}
			progress("%d clients, round %d: %.0f writes/s; bare raft: %.0f", n, round+1, ours, theirs)
			r.WritesPerSecond[key] += ours / float64(o.rounds)
			r.BareWritesPerSecond[key] += theirs / float64(o.rounds)
		}
	}
	return nil
}

// write changes one node; i makes the change differ from others.
func write(ctx context.Context, s *raftstore.Store, i uint64) error {
	rack := fmt.Sprintf("r%d", i)
	e := entry(fleet.SetNodes{Names: []string{fmt.Sprintf("n%05d", i%writtenNodes)}, Rack: &rack})
	e.ID, e.Why = rand.Text(), "move the machine to the place where it will stand from now on"
	_, err := s.Propose(ctx, e)
	return err
}

// writeAll has n clients write for a while, each one change after another, and returns the number of acknowledged
// writes per second.
func writeAll(ctx context.Context, n int, d time.Duration, write func(context.Context, uint64) error) (float64, error) {
	began := time.Now()
	acked, err := writeWhile(ctx, n, func(uint64) bool { return time.Since(began) < d }, write)
	return float64(acked) / time.Since(began).Seconds(), err
}

// writeWhile has n clients write while more, which is asked with the number of the next write, and returns how many
// writes were acknowledged.
func writeWhile(ctx context.Context, n int, more func(uint64) bool, write func(context.Context, uint64) error) (uint64, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var next, acked atomic.Uint64
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for i := next.Add(1); more(i) && ctx.Err() == nil; i = next.Add(1) {
				if err := write(ctx, i); err != nil {
					fail(err)
					return
				}
				acked.Add(1)
			}
		})
	}
	wg.Wait()
	return acked.Load(), context.Cause(ctx)
}
