package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/samara-hpc/samara/test/lab"
)

// How long a fault lasts, and how long peace between two of one nemesis.
const (
	leastFault, mostFault = 1 * time.Second, 8 * time.Second
	leastPeace, mostPeace = 1 * time.Second, 6 * time.Second
)

// A nemesis does one harm after the other to a cluster. What it does to whom, and for how long, follows from its random
// source; only who leads at that moment does not.
type nemesis struct {
	cluster *cluster
	random  *rand.Rand
	say     func(format string, args ...any)
}

// A fault is one kind of harm. It strikes, holds on for that long or until ctx ends, and makes good what it did.
type fault struct {
	name   string
	strike func(ctx context.Context, hold time.Duration) error
}

// run deals all faults in a random order, over and over, until ctx ends. All is made good when it returns.
func (n *nemesis) run(ctx context.Context, faults []fault) error {
	for {
		for _, i := range n.random.Perm(len(faults)) {
			hold := n.between(leastFault, mostFault)
			pause(ctx, n.between(leastPeace, mostPeace))
			if ctx.Err() != nil {
				return nil
			}
			began := time.Now()
			if err := faults[i].strike(ctx, hold); err != nil {
				return fmt.Errorf("fault %q: %w", faults[i].name, err)
			}
			n.cluster.struck.Add(1)
			n.say("fault: %s, for %.1f s", faults[i].name, time.Since(began).Seconds())
		}
	}
}

func (n *nemesis) between(least, most time.Duration) time.Duration {
	return least + time.Duration(n.random.Int64N(int64(most-least)))
}

// any returns the number of any controller.
func (n *nemesis) any(context.Context) int { return n.random.IntN(controllers) }

// leader returns the number of the controller that leads, or of any if none does.
func (n *nemesis) leader(ctx context.Context) int {
	other := n.any(ctx)
	leader, err := n.cluster.Leader(ctx)
	if err != nil {
		return other
	}
	return slices.Index(n.cluster.Controllers, leader)
}

// hostFaults are those of controllers and their machines.
func hostFaults(n *nemesis) []fault {
	heads := n.cluster.heads
	one := func(pick func(context.Context) int, strike func(context.Context, time.Duration, *head) error) func(context.Context, time.Duration) error {
		return func(ctx context.Context, hold time.Duration) error {
			return strike(ctx, hold, heads[pick(ctx)])
		}
	}
	return []fault{
		{"kill -9 of any", one(n.any, killed)},
		{"kill -9 of the leader", one(n.leader, killed)},
		{"SIGSTOP of any", one(n.any, stopped)},
		{"SIGSTOP of the leader", one(n.leader, stopped)},
		{"disk of any is full", one(n.any, diskFull)},
		{"disk of the leader is full", one(n.leader, diskFull)},
		{"kill -9 of all", func(ctx context.Context, hold time.Duration) error {
			for _, h := range heads {
				h.kill()
			}
			pause(ctx, hold)
			var errs []error
			for _, h := range heads {
				errs = append(errs, h.start())
			}
			return errors.Join(errs...)
		}},
		{"restart of all, in order", func(ctx context.Context, _ time.Duration) error {
			for _, h := range heads {
				if err := restarted(h); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}

func killed(ctx context.Context, hold time.Duration, h *head) error {
	h.kill()
	pause(ctx, hold)
	return h.start()
}

func stopped(ctx context.Context, hold time.Duration, h *head) error {
	if err := h.Process().Stop(); err != nil {
		return err
	}
	pause(ctx, hold)
	return h.Process().Continue()
}

// diskFull fills a disk, on which the controller must end and say why, and starts it again with room.
func diskFull(ctx context.Context, hold time.Duration, h *head) error {
	p := h.expectDown()
	if err := h.disk.Fill(); err != nil {
		return err
	}
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	select {
	case <-p.Done():
	case <-deadline.C:
		return fmt.Errorf("%s goes on without a byte of disk for %v", h.Host.ID, patience)
	}
	if end := p.Ended(); !strings.Contains(end.Error(), "no space left on device") {
		return fmt.Errorf("it does not say why it ended: %w", end)
	}
	pause(ctx, hold)
	if err := h.disk.Free(); err != nil {
		return err
	}
	return h.start()
}

func restarted(h *head) error {
	if err := h.expectDown().Terminate(patience / 2); err != nil {
		return err
	}
	// A partition may be in the way, which is another nemesis's and ends by itself.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return h.serve(ctx)
}

// networkFaults are those of the network between controllers. Clients go on reaching all of them.
func networkFaults(n *nemesis) []fault {
	// parted splits the first of a random order, beginning with that controller, from the rest.
	parted := func(first func(context.Context) int, size int) func(context.Context, time.Duration) error {
		return n.network(func(ctx context.Context) error {
			order := n.order(first(ctx))
			return lab.Part(order[:size], order[size:])
		})
	}
	return []fault{
		{"the leader is alone", parted(n.leader, 1)},
		{"the leader is in the minority", parted(n.leader, 2)},
		{"any two are cut off", parted(n.any, 2)},
		{"nobody hears the leader", n.network(func(ctx context.Context) error {
			order := n.order(n.leader(ctx))
			var errs []error
			for _, h := range order[1:] {
				errs = append(errs, h.Ignore(order[0]))
			}
			return errors.Join(errs...)
		})},
		{"the leader hears nobody", n.network(func(ctx context.Context) error {
			order := n.order(n.leader(ctx))
			return order[0].Ignore(order[1:]...)
		})},
		{"one does not hear the leader", n.network(func(ctx context.Context) error {
			order := n.order(n.leader(ctx))
			return order[1].Ignore(order[0])
		})},
		{"no two hear each other", n.network(func(ctx context.Context) error {
			order := n.order(n.any(ctx))
			var errs []error
			for i, h := range order { // each hears the two before it, who ignore it
				errs = append(errs, h.Ignore(order[(i+1)%controllers], order[(i+2)%controllers]))
			}
			return errors.Join(errs...)
		})},
	}
}

// network makes a fault of a change to the network.
func (n *nemesis) network(change func(context.Context) error) func(context.Context, time.Duration) error {
	return func(ctx context.Context, hold time.Duration) error {
		err := change(ctx)
		if err == nil {
			pause(ctx, hold)
		}
		errs := []error{err}
		for _, h := range n.cluster.heads {
			errs = append(errs, h.Host.Heal())
		}
		return errors.Join(errs...)
	}
}

// order returns all hosts in a random order, but for the one of that number, which comes first.
func (n *nemesis) order(first int) []*lab.Host {
	hosts := []*lab.Host{n.cluster.heads[first].Host}
	for _, i := range n.random.Perm(controllers) {
		if i != first {
			hosts = append(hosts, n.cluster.heads[i].Host)
		}
	}
	return hosts
}
