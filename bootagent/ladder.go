package bootagent

import (
	"time"

	"github.com/samara-hpc/samara/seeder"
)

// How long a download may stand still before more is done for it than to wait. Times are differences of monotonic
// readings: who sets the clock changes none of them.
const (
	// All peers are let go, and called or replaced anew; again each time that it has passed. Before that an origin shows to others
	// what a peer was shown and did not take, which is to find them there (seeder/origin, Starvation).
	hangUpAfter = 15 * time.Second
	trickle     = 30 * time.Second // the same while bytes arrive, which do not make up a piece
	reliefAfter = 20 * time.Second // pieces are fetched from a controller
	reliefAgain = time.Second      // the same, once that was needed
	steady      = 20 * time.Second // after which a swarm that moves by itself again counts as well
)

// A ladder says what to do for a download that the swarm does not move.
type ladder struct {
	swarm, arrived, control int64     // bytes: verified from the swarm, received from it, fetched from controllers
	moved                   time.Time // when the swarm last gave a verified piece, or the download began
	received                time.Time // when the swarm last gave anything
	hungUp                  time.Time // when all peers were last let go
	helped                  time.Time // when a controller last gave a piece; zero for never
}

func newLadder(now time.Time) ladder { return ladder{moved: now, received: now, hungUp: now} }

// climb returns whether to let all peers go now, and whether to fetch from controllers until climb says otherwise.
func (l *ladder) climb(p seeder.Progress, now time.Time) (hangUp, relief bool) {
	if swarm := p.Have - p.FromControl; swarm > l.swarm {
		l.swarm, l.moved = swarm, now
	}
	if arrived := p.FromOrigin + p.FromPeers; arrived > l.arrived {
		l.arrived, l.received = arrived, now
	}
	if p.FromControl > l.control {
		l.control, l.helped = p.FromControl, now
	}
	still, wait := now.Sub(l.moved), reliefAfter
	if !l.helped.IsZero() && now.Sub(l.helped) < steady {
		wait = reliefAgain
	}
	relief = still >= wait
	patience := hangUpAfter
	if now.Sub(l.received) < hangUpAfter {
		patience = trickle
	}
	if still >= patience && now.Sub(l.hungUp) >= patience {
		l.hungUp = now
		hangUp = true
	}
	return hangUp, relief
}
