package origin

import (
	"slices"
	"time"
)

// durationsKept is how many durations a median is taken of.
const durationsKept = 64

// durations keeps the latest few durations of something.
type durations struct {
	ring   []time.Duration
	at     int
	stale  bool
	middle time.Duration
}

func (d *durations) add(t time.Duration) {
	d.stale = true
	if len(d.ring) < durationsKept {
		d.ring = append(d.ring, t)
		return
	}
	d.ring[d.at] = t
	d.at = (d.at + 1) % durationsKept
}

// median is the middle one, the longer of two; false if there are none.
func (d *durations) median() (time.Duration, bool) {
	if len(d.ring) == 0 {
		return 0, false
	}
	if d.stale {
		sorted := slices.Clone(d.ring)
		slices.Sort(sorted)
		d.middle, d.stale = sorted[len(sorted)/2], false
	}
	return d.middle, true
}
