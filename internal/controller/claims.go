package controller

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

const (
	maxClaims    = 256 // that wait; a machine whose claim finds no room asks again
	claimTimeout = 10 * time.Second
)

// A claimant gives unknown machines the identities that wait for them, one by one: each claim is an entry of the log,
// so that two machines never get one identity, whichever controllers they ask.
type claimant struct {
	propose func(context.Context, fleet.Entry) (fleet.Revision, error)
	state   func() fleet.State
	self    string
	logger  *slog.Logger
	queue   chan claim

	mu      sync.Mutex
	waiting map[fleet.MAC]bool
}

type claim struct {
	mac     fleet.MAC
	network string
}

func newClaimant(propose func(context.Context, fleet.Entry) (fleet.Revision, error), state func() fleet.State, self string, logger *slog.Logger) *claimant {
	return &claimant{propose: propose, state: state, self: self, logger: logger, queue: make(chan claim, maxClaims), waiting: map[fleet.MAC]bool{}}
}

// claim asks for an identity for the machine with that MAC, on that network. It does not wait: the machine finds out
// when it asks to boot again.
func (c *claimant) claim(mac fleet.MAC, network string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[mac] {
		return
	}
	select {
	case c.queue <- claim{mac, network}:
		c.waiting[mac] = true
	default:
	}
}

// run makes claims, one at a time, until ctx ends.
func (c *claimant) run(ctx context.Context) error {
	for {
		select {
		case now := <-c.queue:
			c.make(ctx, now)
			c.mu.Lock()
			delete(c.waiting, now.mac)
			c.mu.Unlock()
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *claimant) make(ctx context.Context, now claim) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	_, err := c.propose(ctx, fleet.Entry{
		Command: &fleet.ClaimNode{MAC: now.mac, Network: now.network}, ID: newRequestID(), At: time.Now().UTC(),
		Who: "controller/" + c.self, Why: "a machine was discovered on network " + now.network,
	})
	switch {
	case err == nil:
		n, _ := c.state().NodeByMAC(now.mac)
		c.logger.Info("a machine was discovered", "mac", now.mac, "node", n.Name, "network", now.network)
	case errors.Is(err, fleet.ErrExists): // another controller was faster
	default:
		c.logger.Warn("a machine could not be given an identity; it is tried again when it asks again", "mac", now.mac, "network", now.network, "err", err)
	}
}
