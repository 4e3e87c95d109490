package seeder

import "time"

// meterSpan is how far back a meter looks, in seconds.
const meterSpan = 4

// A meter measures bytes per second. The zero value has measured nothing.
type meter struct {
	seconds [meterSpan + 1]int64 // bytes of each second, by its number modulo the length
	last    int64                // the number of the latest second
}

// add counts bytes at a time since some start.
func (m *meter) add(now time.Duration, n int64) {
	m.move(now)
	m.seconds[m.last%int64(len(m.seconds))] += n
}

// perSecond returns the mean of the last whole seconds.
func (m *meter) perSecond(now time.Duration) int64 {
	m.move(now)
	sum := int64(0)
	for _, n := range m.seconds {
		sum += n
	}
	return (sum - m.seconds[m.last%int64(len(m.seconds))]) / meterSpan
}

// move forgets what is too long ago.
func (m *meter) move(now time.Duration) {
	second := max(m.last, int64(now/time.Second))
	for range min(second-m.last, int64(len(m.seconds))) {
		m.last++
		m.seconds[m.last%int64(len(m.seconds))] = 0
	}
	m.last = second
}
