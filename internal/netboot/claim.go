package netboot

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// Times and bounds of claims. A claim costs the cluster a write, and only one of the controllers that hear a machine
// needs to make it.
const (
	claimEvery  = time.Second            // claims of one machine
	claimStep   = 500 * time.Millisecond // that a controller leaves to each one before it
	claimForget = 30 * time.Second       // a machine that was silent for so long asks for the first time
	maxClaims   = 4096                   // machines
)

// claims says when a machine that asks for an identity is to be given one. Its methods may be called from any goroutine.
type claims struct {
	mu       sync.Mutex
	machines map[fleet.MAC]*claimant
}

type claimant struct {
	first, last time.Time // of its requests
	claimed     time.Time
}

func newClaims() *claims { return &claims{machines: map[fleet.MAC]*claimant{}} }

// due reports whether to claim for m, which asks now, with that many controllers before this one. Those wait for the
// machine to ask again.
func (c *claims) due(m fleet.MAC, place int, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	who, ok := c.machines[m]
	if !ok || now.Sub(who.last) >= claimForget {
		if !ok && len(c.machines) >= maxClaims && !c.sweep(now) {
			return false
		}
		who = &claimant{first: now}
		c.machines[m] = who
	}
	who.last = now
	if now.Sub(who.first) < time.Duration(place)*claimStep || !who.claimed.IsZero() && now.Sub(who.claimed) < claimEvery {
		return false
	}
	who.claimed = now
	return true
}

// sweep forgets machines that are silent, and reports whether that made room.
func (c *claims) sweep(now time.Time) bool {
	for m, who := range c.machines {
		if now.Sub(who.last) >= claimForget {
			delete(c.machines, m)
		}
	}
	return len(c.machines) < maxClaims
}

// claim asks for an identity for a machine that no node claims, which asked from one of networks, if one waits there.
// It reports whether one does.
func (s *Server) claim(state fleet.State, m fleet.MAC, networks []string, now time.Time) bool {
	if s.cfg.Claim == nil {
		return false
	}
	armed := slices.IndexFunc(networks, func(n string) bool { return state.Armed(n, now) })
	if armed < 0 {
		return false
	}
	if s.claims.due(m, s.place(m, s.live()), now) {
		s.cfg.Claim(m, networks[armed])
	}
	return true
}

// networkAt returns the network that a lies on, as claim wants it.
func networkAt(state fleet.State, a netip.Addr) []string {
	if n, ok := state.NetworkOf(a); ok {
		return []string{n.Name}
	}
	return nil
}
