package api

import "fmt"

// Bounds on requests that cost much, each of how many are served at a time.
const (
	maxEdits     = 4 // of the configuration: each body may be of MaxEdit bytes
	maxDryEdits  = 2 // that only ask what they would do; viewers, too, may send them
	maxRecalling = 2 // computing what the configuration was: each may undo the whole history
)

// places are what requests of one kind take while they are served.
type places chan struct{}

// take returns what gives a place back. The error wraps ErrBusy if none is left; what names the requests, in the plural.
func (p places) take(what string) (giveBack func(), err error) {
	select {
	case p <- struct{}{}:
		return func() { <-p }, nil
	default:
		return nil, fmt.Errorf("%w: %d %s are being served; ask again in a second or two", ErrBusy, cap(p), what)
	}
}
