package seeder

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// contend has peers of some lanes send for a time, each as much as it may, and returns what each lane and peer has sent.
func contend(t *turns, peers []int, lengths func(lane, peer int) int, during time.Duration) [][]int64 {
	ctx, cancel := context.WithCancel(context.Background())
	sent := make([][]int64, len(peers))
	var running sync.WaitGroup
	running.Go(func() { t.run(ctx) })
	for n, count := range peers {
		l := new(lane)
		sent[n] = make([]int64, count)
		for p := range count {
			length := lengths(n, p)
			running.Go(func() {
				for wait(t, l, length, ctx.Done()) {
					sent[n][p] += int64(length)
				}
			})
		}
	}
	time.Sleep(during)
	cancel()
	running.Wait()
	return sent
}

// wait waits for a turn, and returns false if the peer is gone first.
func wait(t *turns, l *lane, length int, gone <-chan struct{}) bool {
	select {
	case <-t.queue(l, length, gone):
		return true
	case <-gone:
		return false
	}
}

func sum(of []int64) (total int64) {
	for _, n := range of {
		total += n
	}
	return total
}

func within(got, want, percent int64) bool {
	return got*100 >= want*(100-percent) && got*100 <= want*(100+percent)
}

func TestImagesTakeTurnsAndSoDoTheirPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, seconds = 10 << 20, 20
		sent := contend(newTurns(limit), []int{1, 40, 3}, func(int, int) int { return turnLength }, seconds*time.Second)
		for n, of := range sent {
			if got, want := sum(of), int64(limit*seconds/3); !within(got, want, 3) {
				t.Errorf("image %d with %d peers sent %d bytes, want about %d", n, len(of), got, want)
			}
			for p, got := range of {
				// Whoever comes first may have all of the burst.
				if want := sum(of) / int64(len(of)); got < want-2*turnLength || got > want+uploadBurst+turnLength {
					t.Errorf("peer %d of image %d got %d bytes, want about %d", p, n, got, want)
				}
			}
		}
	})
}

func TestALimitHoldsAndItsEndIsFeltAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1) // a byte per second, once the burst is used up
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { turns.run(ctx) })
		var l lane
		var sent atomic.Int64
		for range 3 {
			running.Go(func() {
				for range 50 {
					if wait(turns, &l, turnLength, ctx.Done()) {
						sent.Add(turnLength)
					}
				}
			})
		}
		time.Sleep(time.Hour)
		if got := sent.Load(); got != uploadBurst {
			t.Errorf("in an hour %d bytes were sent, want the burst of %d", got, uploadBurst)
		}
		turns.setLimit(0)
		synctest.Wait()
		if got, want := sent.Load(), int64(150*turnLength); got != want {
			t.Errorf("without a limit %d bytes were sent, want %d", got, want)
		}
		cancel()
		running.Wait()
	})
}

func TestWhoeverLeavesHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(turnLength) // one turn a second
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { turns.run(ctx) })
		var l lane
		for range uploadBurst / turnLength {
			wait(turns, &l, turnLength, ctx.Done())
		}
		gone := make(chan struct{})
		for range 30 {
			running.Go(func() {
				if wait(turns, &l, turnLength, gone) {
					t.Error("a peer that was gone had its turn")
				}
			})
		}
		synctest.Wait()
		close(gone)
		began := time.Now()
		if !wait(turns, &l, turnLength, ctx.Done()) || time.Since(began) > 1100*time.Millisecond {
			t.Errorf("a peer waited for %v behind those that had left", time.Since(began))
		}
		cancel()
		running.Wait()
	})
}

func TestAMeterShowsTheLastSeconds(t *testing.T) {
	var m meter
	for at := time.Duration(0); at < 10*time.Second; at += 100 * time.Millisecond {
		m.add(at, 100)
	}
	if got := m.perSecond(10 * time.Second); got != 1000 {
		t.Errorf("got %d bytes per second, want 1000", got)
	}
	if got := m.perSecond(12 * time.Second); got != 500 {
		t.Errorf("two seconds later: got %d bytes per second, want 500", got)
	}
	if got := m.perSecond(time.Hour); got != 0 {
		t.Errorf("an hour later: got %d bytes per second", got)
	}
}
