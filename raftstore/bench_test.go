package raftstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// startBench opens the only controller of a cluster with one node. test/bench-control measures three.
func startBench(b *testing.B) *Store {
	b.Helper()
	a, err := newAuthority()
	if err != nil {
		b.Fatal(err)
	}
	s, err := open(b.TempDir(), "c1", a, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Bootstrap(); err != nil {
		b.Fatal(err)
	}
	r := start(s)
	b.Cleanup(func() {
		r.cancel()
		if err := <-r.done; err != nil {
			b.Error(err)
		}
	})
	if err := s.WaitLeader(context.Background()); err != nil {
		b.Fatal(err)
	}
	for _, c := range []fleet.Command{clusterCommand(2, map[string]string{"c1": s.config.Address}), fleet.AddNodes{Nodes: []fleet.Node{{Name: "n1"}}}} {
		if _, err := s.Propose(context.Background(), fleet.Entry{Command: c, At: time.Now(), Who: "bench"}); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// inParallel has n goroutines share b's iterations.
func inParallel(b *testing.B, n int, do func(i int64) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkPropose changes a node, each change synced to the disk.
func BenchmarkPropose(b *testing.B) {
	for _, clients := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s := startBench(b)
			inParallel(b, clients, func(i int64) error {
				rack := fmt.Sprintf("r%d", i)
				_, err := s.Propose(context.Background(), fleet.Entry{
					Command: fleet.SetNodes{Names: []string{"n1"}, Rack: &rack}, ID: fmt.Sprintf("id-%d", i), At: time.Now(), Who: "bench"})
				return err
			})
		})
	}
}

// BenchmarkRead reads on the leader.
func BenchmarkRead(b *testing.B) {
	for _, c := range []Consistency{Stale, Default, Linearizable} {
		b.Run(string(c), func(b *testing.B) {
			s := startBench(b)
			inParallel(b, 16, func(int64) error {
				_, err := s.Read(context.Background(), c)
				return err
			})
		})
	}
}
