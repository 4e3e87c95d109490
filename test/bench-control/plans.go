package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// planReads is how many boot plans are made while others write.
const planReads = 200_000

// join is errors.Join that keeps a single error as it is.
func join(a, b error) error {
	if a == nil || b == nil {
		return errors.Join(a, b)
	}
	return a
}

// measurePlans reads boot plans from a follower's replica while 16 clients write.
func measurePlans(ctx context.Context, dir string, o options, r *result) (err error) {
	g, err := startGroup(ctx, dir, 3)
	if err != nil {
		return err
	}
	defer func() { err = join(err, g.stop()) }()
	leader, err := g.leader(ctx)
	if err != nil {
		return err
	}
	if err := populate(ctx, leader.store, g, o.nodes); err != nil {
		return err
	}
	follower := g[0]
	if follower == leader {
		follower = g[1]
	}
	if _, err := follower.store.Wait(ctx, leader.store.State().Revision()-1); err != nil {
		return err
	}
	writing, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		_, failed = writeAll(writing, 16, time.Hour, func(ctx context.Context, i uint64) error { return write(ctx, leader.store, i) })
	})
	took := make([]float64, planReads)
	for i := range took {
		began := time.Now()
		_, err = follower.store.State().Plan(mac(i * 7919 % o.nodes))
		took[i] = float64(time.Since(began).Nanoseconds()) / 1e3
		if err != nil {
			break
		}
	}
	stillWriting := writing.Err() == nil
	stop()
	wg.Wait()
	switch {
	case err != nil:
		return err
	case failed != nil && !errors.Is(failed, context.Canceled), !stillWriting:
		return errors.Join(errors.New("the writers stopped"), failed)
	}
	r.PlanRead = percentilesOf(took)
	progress("%d plans: p50 %.1f µs, p99 %.1f µs", len(took), r.PlanRead.P50, r.PlanRead.P99)
	return nil
}

// percentilesOf sorts values, of which there must be one at least.
func percentilesOf(values []float64) percentiles {
	slices.Sort(values)
	at := func(q float64) float64 { return values[int(math.Ceil(q*float64(len(values))))-1] }
	return percentiles{P50: at(0.5), P99: at(0.99)}
}
