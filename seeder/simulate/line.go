package simulate

// A line is a link in one direction, or a processor: it passes bytes at a rate, in the order in which they come. A
// fragment that crosses several is cut through: it occupies all of them from the moment it leaves its sender, and is at
// its end when the slowest has passed it. Since every connection has at most one fragment on its way, and senders take
// their connections in turn, lines are shared almost max-min fairly, as by TCP.
type line struct {
	perByte float64 // nanoseconds; 0: passes everything at once
	busy    int64   // until then
	bytes   int64   // that passed
}

func newLine(rate, overhead float64) line {
	if rate == 0 {
		return line{}
	}
	return line{perByte: 1e9 / rate * (1 + overhead)}
}

// take occupies l with n bytes that come at now, and returns when the last has passed.
func (l *line) take(now, n int64) int64 {
	l.bytes += n
	if l.perByte == 0 {
		return now
	}
	l.busy = max(l.busy, now) + int64(float64(n)*l.perByte)
	return l.busy
}

// use returns which part of the time until end l passed bytes.
func (l *line) use(end int64) float64 {
	if end <= 0 {
		return 0
	}
	return min(1, float64(l.bytes)*l.perByte/float64(end))
}
