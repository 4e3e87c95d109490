package seeder

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/samara-hpc/samara/seeder/origin"
)

// turnLength is how much a peer is sent at most before it is another one's turn, in bytes, while there is an upload limit.
const turnLength = origin.MaxBlock

// uploadBurst is how much may leave at once after a pause, in bytes, while there is an upload limit.
const uploadBurst = 2 * turnLength

// turns share a limited upload out: images take turns, and so do the peers of one image, however many each has. Without a
// limit nobody waits. Methods may be called from any goroutine.
type turns struct {
	limiter *rate.Limiter
	limited chan struct{} // has one if the limit has changed
	queued  chan struct{} // has one if somebody waits
	free    chan struct{} // is closed

	mu    sync.Mutex
	lanes []*lane // in which somebody waits, the next one first
}

// A lane is where the peers of one image wait. Its content is guarded by turns.mu.
type lane struct {
	waiting []*turn // the next one first; never two of one peer
}

// A turn is a peer's wish to send.
type turn struct {
	length  int
	granted chan struct{} // closed once it may
	gone    <-chan struct{}
}

func newTurns(bytesPerSecond int64) *turns {
	t := &turns{limiter: rate.NewLimiter(limitOf(bytesPerSecond), uploadBurst), limited: make(chan struct{}, 1),
		queued: make(chan struct{}, 1), free: make(chan struct{})}
	close(t.free)
	return t
}

// setLimit changes the limit, in bytes per second; 0 means none.
func (t *turns) setLimit(bytesPerSecond int64) {
	t.limiter.SetLimit(limitOf(bytesPerSecond))
	signal(t.limited)
}

// limit returns the limit, in bytes per second; 0 means none.
func (t *turns) limit() int64 {
	if l := t.limiter.Limit(); l != rate.Inf {
		return int64(l)
	}
	return 0
}

// queue asks for a turn in which a peer is sent length bytes, at most turnLength. The channel that it returns is closed once
// the turn has come, which it does not if gone is closed first.
func (t *turns) queue(l *lane, length int, gone <-chan struct{}) <-chan struct{} {
	if t.limiter.Limit() == rate.Inf {
		return t.free
	}
	mine := &turn{length: length, granted: make(chan struct{}), gone: gone}
	t.mu.Lock()
	if l.waiting = append(l.waiting, mine); len(l.waiting) == 1 {
		t.lanes = append(t.lanes, l)
	}
	t.mu.Unlock()
	signal(t.queued)
	return mine.granted
}

// waited reports whether somebody waits.
func (t *turns) waited() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.lanes) > 0
}

// next takes the turn out that is next, those left out whose peers are gone, or returns nil.
func (t *turns) next() *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.lanes) > 0 {
		l := t.lanes[0]
		first := l.waiting[0]
		l.waiting = slices.Delete(l.waiting, 0, 1)
		t.lanes = slices.Delete(t.lanes, 0, 1)
		if len(l.waiting) > 0 {
			t.lanes = append(t.lanes, l)
		}
		select {
		case <-first.gone:
		default:
			return first
		}
	}
	return nil
}

// run grants turns until ctx ends. It first waits until the limit allows a whole turn, and then sees whose it is: one who
// has just been served and wants more has had the time to say so. What a short turn leaves is for the next.
func (t *turns) run(ctx context.Context) {
	for credit := 0; ; {
		for !t.waited() {
			select {
			case <-t.queued:
			case <-ctx.Done():
				return
			}
		}
		for !t.afford(ctx, turnLength-credit) {
			if ctx.Err() != nil {
				return
			}
		}
		credit = turnLength
		if now := t.next(); now != nil {
			credit -= now.length
			close(now.granted)
		}
	}
}

// afford waits until the limit allows so many bytes, and takes them. It returns false if the limit has changed, or ctx has
// ended.
func (t *turns) afford(ctx context.Context, bytes int) bool {
	r := t.limiter.ReserveN(time.Now(), bytes)
	timer := time.NewTimer(r.Delay())
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.limited:
	case <-ctx.Done():
	}
	r.Cancel()
	return false
}

// signal puts one into a channel that holds one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
