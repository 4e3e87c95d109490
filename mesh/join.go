package mesh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Join makes contact with one of the seeds, trying them in random order, again and again with growing random pauses,
// until one answers; the mesh then knows all that this one knows. Run keeps joining seeds now and then, which mends what
// gossip missed and heals a mesh that fell apart. The latest call's seeds count. This process itself is skipped; without
// any other seed Join returns at once. The error is ErrClosed, or ctx's with the last attempt's.
func (m *Mesh) Join(ctx context.Context, seeds []netip.AddrPort) error {
	others := slices.DeleteFunc(slices.Clone(seeds), func(s netip.AddrPort) bool { return s == m.self || !s.IsValid() })
	m.mu.Lock()
	m.seeds = others
	m.mu.Unlock()
	if len(others) == 0 {
		return nil
	}
	for attempt := 0; ; attempt++ {
		err := m.contact(ctx)
		if err == nil {
			select {
			case m.joined <- struct{}{}:
			default:
			}
			return nil
		}
		if errors.Is(err, ErrClosed) {
			return err
		}
		m.logger.Debug("gossip: nobody answers yet", "err", err)
		pause := time.NewTimer(retryDelay(attempt))
		select {
		case <-pause.C:
		case <-m.done:
			pause.Stop()
			return ErrClosed
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("joining the mesh: %w (last attempt: %w)", context.Cause(ctx), err)
		}
	}
}

// contact exchanges all state with one seed that answers.
func (m *Mesh) contact(ctx context.Context) error {
	m.mu.Lock()
	seeds := slices.Clone(m.seeds)
	m.mu.Unlock()
	rand.Shuffle(len(seeds), func(i, j int) { seeds[i], seeds[j] = seeds[j], seeds[i] })
	var errs []error
	for _, s := range seeds {
		err := m.exchange(ctx, s)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil || errors.Is(err, ErrClosed) {
			break
		}
	}
	return errors.Join(errs...)
}

// exchange calls one seed. memberlist knows no contexts: a call that is no longer wanted ends by its own timeout.
func (m *Mesh) exchange(ctx context.Context, seed netip.AddrPort) error {
	m.mu.Lock()
	if m.closed || m.left {
		m.mu.Unlock()
		return ErrClosed
	}
	m.calls.Add(1)
	m.mu.Unlock()
	result := make(chan error, 1)
	go func() {
		defer m.calls.Done()
		_, err := m.list.Join([]string{seed.String()})
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-m.done:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// retryDelay returns the pause after a failed attempt, counted from 0: random, so that a thousand nodes that start
// together spread out, and at most 15 s.
func retryDelay(attempt int) time.Duration {
	most := min(500*time.Millisecond<<min(attempt, 10), 15*time.Second)
	return between(most/4, most)
}

// rejoinDelay returns the time until the next rejoin, given how many there were since the first contact. The first two
// are for the few members that gossip reaches late: at 200 members the last of them was seen to wait two minutes for an
// exchange of state. The others are for partitions: memberlist never calls a dead seed again.
func rejoinDelay(after int) time.Duration {
	switch after {
	case 0:
		return between(3*time.Second, 8*time.Second)
	case 1:
		return between(12*time.Second, 17*time.Second)
	default:
		return between(2*time.Minute, 4*time.Minute)
	}
}

func between(least, most time.Duration) time.Duration { return least + rand.N(most-least) }
