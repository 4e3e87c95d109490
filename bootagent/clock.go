package bootagent

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// maxClockError is how far the clock may be off before it is set. Less is left to the image's time service: a step
// would disturb it for nothing.
const maxClockError = 10 * time.Minute

// clockIsAbsurd says whether local is too far from what a controller said.
func clockIsAbsurd(local, controller time.Time) bool {
	return !controller.IsZero() && local.Sub(controller).Abs() > maxClockError
}

// A clock is a time that somebody said, and goes on by itself: by the kernel's monotonic clock, which nobody sets. The zero
// value is the machine's clock.
type clock struct {
	said time.Time
	at   time.Time // when it was said, with a monotonic reading
}

func (c clock) now() time.Time {
	if c.said.IsZero() {
		return time.Now()
	}
	return c.said.Add(time.Since(c.at))
}

func setClock(t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("set the clock to %s: %w", t.UTC().Format(time.RFC3339), err)
	}
	return nil
}
