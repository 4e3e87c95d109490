package bootagent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
)

// What a node asks controllers for when its swarm stands still.
const (
	reliefLength = 4 << 20          // bytes of one request, but for longer pieces
	maxReprieve  = 2 * time.Minute  // that a controller can keep a node waiting
	busyWait     = 5 * time.Second  // if it does not say how long
	badCopy      = 10 * time.Minute // a controller that sent wrong bytes is left alone
)

// reliefRetry is how soon a controller that failed is asked again.
var reliefRetry = backoff{Base: time.Second, Cap: 30 * time.Second}

// A rangeSource is the controllers' side of a relief: a session.
type rangeSource interface {
	known() []netip.AddrPort
	getRange(ctx context.Context, from netip.AddrPort, root fleet.Digest, off int64, into []byte) error
}

// A shortage is the node's side of a relief: a seeder.Download.
type shortage interface {
	Missing(limit int) []seeder.Range
	Put(off int64, b []byte) error
}

// A relief fetches pieces from controllers over TLS while it is told to. Whatever comes is held against the same sums as
// the swarm's pieces, and offered to peers like them.
type relief struct {
	log     *slog.Logger
	source  rangeSource
	root    fleet.Digest
	piece   int64 // length
	needed  chan bool
	mu      sync.Mutex
	reason  string // why the last attempt failed; "" after one that did not
	resting map[netip.AddrPort]rest
}

// A rest is how long a controller is not asked.
type rest struct {
	until    time.Time
	failures int
}

func newRelief(log *slog.Logger, source rangeSource, root fleet.Digest, pieceLength int64) *relief {
	return &relief{log: log, source: source, root: root, piece: pieceLength, needed: make(chan bool, 1), resting: map[netip.AddrPort]rest{}}
}

// need tells run whether to fetch, from one goroutine.
func (r *relief) need(yes bool) {
	select {
	case <-r.needed: // what it has not heard yet
	default:
	}
	r.needed <- yes
}

// failure returns why nothing comes from controllers.
func (r *relief) failure() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reason
}

func (r *relief) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reason = ""
	if err != nil {
		r.reason = err.Error()
	}
}

// run fetches while it is needed, until ctx ends or the file of d cannot be written.
func (r *relief) run(ctx context.Context, d shortage) {
	buf := make([]byte, 0, max(reliefLength, r.piece))
	needed := false
	for ctx.Err() == nil {
		if !needed {
			select {
			case <-ctx.Done():
			case needed = <-r.needed:
			}
			continue
		}
		missing := contiguous(d.Missing(int(max(reliefLength/r.piece, 1))))
		wait := time.Duration(0)
		if len(missing) > 0 {
			wait = r.fetch(ctx, d, missing, buf)
		} else {
			wait = time.Second // all is there; the watch is about to notice
		}
		needed = r.pause(ctx, wait)
	}
}

// pause waits, unless it is told meanwhile that no more is needed, and returns whether more is.
func (r *relief) pause(ctx context.Context, wait time.Duration) (needed bool) {
	select {
	case needed := <-r.needed: // comes before a wait of nothing
		if !needed {
			return false
		}
	default:
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case needed := <-r.needed:
			if !needed {
				return false
			}
		case <-t.C:
			return true
		}
	}
}

// fetch gets ranges that touch each other from a controller, and returns how long to wait before the next.
func (r *relief) fetch(ctx context.Context, d shortage, missing []seeder.Range, buf []byte) time.Duration {
	from, wait := r.choose(time.Now())
	if !from.IsValid() {
		return wait
	}
	last := missing[len(missing)-1]
	begin := missing[0].Off
	buf = buf[:last.Off+last.Len-begin]
	err := r.source.getRange(ctx, from, r.root, begin, buf)
	if err == nil {
		for _, m := range missing {
			if err = d.Put(m.Off, buf[m.Off-begin:][:m.Len]); err != nil {
				break
			}
		}
	}
	if ctx.Err() != nil {
		return 0
	}
	r.note(from, err)
	r.failed(err)
	return 0
}

// choose returns a controller that may be asked now, any: nodes in need must not all turn to one. Without one it returns
// how long to wait.
func (r *relief) choose(now time.Time) (netip.AddrPort, time.Duration) {
	var ready []netip.AddrPort
	wait := reliefRetry.Cap
	for _, c := range r.source.known() {
		if left := r.resting[c].until.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		ready = append(ready, c)
	}
	if len(ready) == 0 {
		return netip.AddrPort{}, wait
	}
	return ready[rand.IntN(len(ready))], 0
}

// note remembers how a controller did.
func (r *relief) note(c netip.AddrPort, err error) {
	if err == nil {
		delete(r.resting, c)
		return
	}
	was := r.resting[c]
	wait := reliefRetry.delay(was.failures)
	var later *busy
	switch {
	case errors.As(err, &later):
		wait = jitter(min(later.after, maxReprieve))
		was.failures = -1 // it is well
	case errors.Is(err, seeder.ErrPiece):
		wait = badCopy
		r.log.Error(fmt.Sprintf("controller %s sent wrong bytes of the image; asking others", c), "err", err)
	}
	r.resting[c] = rest{until: time.Now().Add(wait), failures: was.failures + 1}
}

// contiguous returns those of the first ranges that touch each other, and are no more than one request.
func contiguous(missing []seeder.Range) []seeder.Range {
	for i := 1; i < len(missing); i++ {
		before := missing[i-1]
		if missing[i].Off != before.Off+before.Len || missing[i].Off+missing[i].Len-missing[0].Off > reliefLength {
			return missing[:i]
		}
	}
	return missing
}
