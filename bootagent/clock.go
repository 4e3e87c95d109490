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

func setClock(t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("set the clock to %s: %w", t.UTC().Format(time.RFC3339), err)
	}
	return nil
}
