package bootagent

import (
	"context"
	"math/rand/v2"
	"time"
)

// A backoff says how long to wait after a failure: from Base, doubled each time up to Cap, and spread over the upper
// half of that, so that machines that failed together do not come back together.
type backoff struct {
	Base, Cap time.Duration
}

// delay returns the wait after the failure with that number, from 0.
func (b backoff) delay(failure int) time.Duration {
	d := b.Cap
	if failure < 30 { // beyond, the shift would overflow; Cap is reached long before
		d = min(b.Base<<failure, b.Cap)
	}
	return d/2 + rand.N(d/2+1)
}

// jitter returns d, more or less by a quarter.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2+1) }

// sleep waits for d, or returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
