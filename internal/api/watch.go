package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// afterParam is the query parameter with the revision or the mark after which to tell.
const afterParam = "after"

// A WatchLine is one line of a watch: all that changed since the line before. A line without changes says that the
// controller lives.
type WatchLine struct {
	Revision fleet.Revision `json:"revision"` // of the state that the changes lead to
	Changed  []Difference   `json:"changed"`
	Error    *errorBody     `json:"error,omitempty"` // why this is the last line
}

// Bounds on watches.
const (
	maxWatchers    = 64                     // at a time
	watchHeartbeat = 10 * time.Second       // a line comes even if nothing changed
	watchRest      = 100 * time.Millisecond // after a line with changes: those that come meanwhile make one line
	maxSteps       = 8                      // lines that are kept for the other watchers
)

// watch tells what changes, until the client leaves or the controller ends.
func (s *Server) watch(w http.ResponseWriter, r *request) error {
	select {
	case s.watchers <- struct{}{}:
		defer func() { <-s.watchers }()
	default:
		return fmt.Errorf("%w: %d watches are under way at this controller; ask another, or end some", ErrUnavailable, maxWatchers)
	}
	ctx, cancel := untilShutdown(r.Context())
	defer cancel()
	before, err := s.watchFrom(ctx, r)
	if err != nil {
		return err
	}
	r.revision = before.Revision()
	lines, err := beginWatch(w, r, cancel)
	if err != nil {
		return err
	}
	// The first line tells where the watch begins: there it goes on if it breaks before anything changes.
	if err := lines.tell(WatchLine{Revision: before.Revision(), Changed: []Difference{}}); err != nil {
		return err
	}
	for told := s.Now(); ctx.Err() == nil; {
		after, err := s.nextState(ctx, before, told.Add(s.heartbeat).Sub(s.Now()))
		if err == nil { // a watch may outlive what its client is known by
			_, err = s.callerOf(r.Request, after)
		}
		if err != nil {
			return lines.tell(WatchLine{Revision: before.Revision(), Changed: []Difference{}, Error: bodyOf(err)})
		}
		line, changed, err := s.feed.line(before, after)
		if err != nil {
			return err
		}
		before = after
		if changed || s.Now().Sub(told) >= s.heartbeat {
			lines.tellLine(after.Revision(), line)
			told = s.Now()
		}
		rest(ctx, watchRest)
	}
	return nil
}

// nextState returns the state as soon as its revision is above that of before, and before after a while. The error is
// the store's failure.
func (s *Server) nextState(ctx context.Context, before fleet.State, while time.Duration) (fleet.State, error) {
	waiting, cancel := context.WithTimeout(ctx, while)
	defer cancel()
	after, err := s.Store.Wait(waiting, before.Revision())
	switch {
	case err == nil:
		return after, nil
	case waiting.Err() != nil:
		return before, nil
	}
	return before, fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// watchFrom returns the state that a watch begins at. What the client has seen already may be newer than what this
// controller has: then it waits.
func (s *Server) watchFrom(ctx context.Context, r *request) (fleet.State, error) {
	text := r.URL.Query().Get(afterParam)
	if last := r.Header.Get(lastEventHeader); last != "" {
		text = last // a browser goes on by itself, with the query that it began with
	}
	if text == "" {
		return r.state, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fleet.State{}, fmt.Errorf("%w %s %q: want a revision", fleet.ErrInvalid, afterParam, text)
	}
	after := fleet.Revision(n)
	if now := s.Store.State(); after > now.Revision() {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		if _, err := s.Store.Wait(ctx, after-1); err != nil {
			return fleet.State{}, fmt.Errorf("%w: this controller is at revision %d, before %d, and does not catch up: %w", ErrUnavailable, now.Revision(), after, err)
		}
	}
	state, ok := s.Store.StateAt(after)
	if !ok {
		now := s.Store.State().Revision()
		return fleet.State{}, fmt.Errorf("revision %d is %w: list what you watch again, and watch from the revision that comes with it (now %d)", after, ErrTooOld, now)
	}
	return state, nil
}

// A feed makes the lines of watches. Watchers mostly ask for the same step at the same time: it is compared once. The
// zero value is ready.
type feed struct {
	mu    sync.Mutex
	steps []step // the latest last
}

// A step is a line that was made, without an error.
type step struct {
	from, to fleet.Revision
	line     []byte
	changed  bool
}

// line returns what differs between two states as a WatchLine in JSON with its end, and whether anything does.
func (f *feed) line(before, after fleet.State) (line []byte, changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, to := before.Revision(), after.Revision()
	for _, s := range f.steps {
		if s.from == from && s.to == to {
			return s.line, s.changed, nil
		}
	}
	all := changesBetween(before, after)
	b, err := json.Marshal(WatchLine{Revision: to, Changed: all})
	if err != nil {
		return nil, false, fmt.Errorf("encode line: %w", err)
	}
	s := step{from, to, append(b, '\n'), len(all) > 0}
	if len(f.steps) == maxSteps {
		f.steps = append([]step{}, f.steps[1:]...)
	}
	f.steps = append(f.steps, s)
	return s.line, s.changed, nil
}
