package simulate

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrStalled is the cause of the error of a run in which nodes wait for pieces that do not come.
var ErrStalled = errors.New("the swarm stalls")

const (
	glanceEvery  = 1 << 12 // events between two looks at the context
	observeEvery = 1 << 18 // events between two calls of Scenario.Observe
)

// Run simulates s, and returns how it went once every node that lives is complete. Equal scenarios have equal results.
// The error is ErrScenario if s makes no sense, ErrStalled if nodes can never be complete or take longer than s.Limit, and
// that of ctx if it ends. Run uses one processor and about a byte of memory per node and piece.
func Run(ctx context.Context, s Scenario) (Result, error) {
	if err := s.check(); err != nil {
		return Result{}, err
	}
	w, err := newSwarm(s.filled())
	if err != nil {
		return Result{}, fmt.Errorf("simulate: %w", err)
	}
	if err := w.run(ctx); err != nil {
		return Result{}, err
	}
	return w.result(), nil
}

// run handles events until all live nodes are complete.
func (w *swarm) run(ctx context.Context) error {
	for n := 1; w.waiting() > 0; n++ {
		if n%glanceEvery == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if n%observeEvery == 0 && w.Observe != nil {
				w.Observe(w.progress())
			}
		}
		e := w.events.pop()
		if e.at > int64(w.Limit) {
			return w.stalled()
		}
		w.now = e.at
		w.sample()
		w.handle(e)
		w.tally.events++
		if w.err != nil {
			return w.err
		}
	}
	return nil
}

// time is now as origins want it.
func (w *swarm) time() time.Duration { return time.Duration(w.now) }

// waiting returns how many nodes are to be complete and are not.
func (w *swarm) waiting() int {
	return w.Nodes - w.tally.complete - w.tally.failed
}

func (w *swarm) stalled() error {
	return fmt.Errorf("%w: after %v %d of %d nodes are complete, %d failed, and %d wait", ErrStalled,
		w.time().Round(time.Millisecond), w.tally.complete, w.Nodes, w.tally.failed, w.waiting())
}

func (w *swarm) progress() Progress {
	return Progress{Now: w.time(), Pieces: w.tally.pieces, Complete: w.tally.complete,
		Total: int64(w.Nodes)*int64(w.pieces) - w.tally.unfinished}
}

func (w *swarm) handle(e event) {
	switch e.kind {
	case evDone:
		w.done(e)
	case evFree:
		w.nodes[e.a].sending = false
		w.serve(e.a)
	case evHave:
		w.announce(e.a, e.b)
	case evArrive:
		w.arrive(e.a)
	case evAsk:
		w.ask(e.a)
	case evConnect:
		w.connect(e.a, e.b)
	case evNudge:
		w.nudge(e.a)
	case evJoin:
		w.join(e.a)
	case evReveal:
		w.reveal(e.a, e.b)
	case evBlock:
		w.blockDone(e)
	case evOriginUp:
		w.controllers[e.a].sending = false
		w.serveFeeds(e.a)
	case evTick:
		w.tick(e.a)
	default:
		w.handleRare(e)
	}
}

func (w *swarm) handleRare(e event) {
	switch e.kind {
	case evHangUp:
		w.hangUp(e.a)
	case evFail:
		w.fail(w.Failures[e.a])
	case evShare:
		w.share()
	case evNotice:
		w.notice(e.a)
	case evWatch:
		w.watch()
	}
}

// watch ends a run in which nothing moves any more. Nodes that have not come yet are not waited for.
func (w *swarm) watch() {
	if w.tally.pieces == w.tally.watched && w.now > int64(w.lastArrival())+int64(stalledAfter) {
		w.err = w.stalled()
	}
	w.tally.watched = w.tally.pieces
	w.post(event{at: w.now + int64(stalledAfter), kind: evWatch})
}

// lastArrival returns when the last node comes.
func (s *Scenario) lastArrival() time.Duration {
	last := time.Duration(0)
	for _, a := range s.Arrivals {
		last = max(last, a.At+a.Over)
	}
	return last
}
