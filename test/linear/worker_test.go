package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// How long clients wait for one operation: the patient until its outcome is known, as a rule; the others leave with it
// unknown when a fault is in the way.
const (
	patientLimit   = 10 * time.Second
	impatientLimit = 700 * time.Millisecond
)

// A worker is one client with what it knows.
type worker struct {
	*run
	id     int
	writes int
	asks   *api.Client
	known  map[string]fleet.Revision // of nodes, by what it was told last
}

// act does one operation on a node and notes it: half of them reads, the rest writes, most of which are conditional.
func (w *worker) act(node string) {
	limit := patientLimit
	if w.id%2 == 1 {
		limit = impatientLimit
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	op := operation{node: node}
	switch rand.IntN(8) {
	case 0:
		op.write = true
	case 1, 2, 3:
		op.write, op.when = true, w.known[node] // 0 if it knows nothing
	}
	asked := w.history.now()
	out, err := w.ask(ctx, &op)
	if err != nil {
		w.history.refuse()
		if !excused(err) {
			w.fault(fmt.Errorf("client %d at %s: %w", w.id, node, err))
		}
		return
	}
	if out.revision != 0 {
		w.known[node] = out.revision
	}
	w.history.add(w.id, asked, op, out)
}

// ask has an operation done. The error means that it surely had no effect.
func (w *worker) ask(ctx context.Context, op *operation) (outcome, error) {
	if !op.write {
		n, err := w.asks.Node(ctx, op.node)
		return outcome{rack: n.Rack, revision: n.Revision}, err
	}
	w.writes++
	op.rack = fmt.Sprintf("c%d-%d", w.id, w.writes)
	var o api.ChangeOptions
	if op.when != 0 {
		o.If = []fleet.Condition{{Kind: "node", Name: op.node, Revision: op.when}}
	}
	made, err := w.asks.SetNodes(ctx, fleet.SetNodes{Names: []string{op.node}, Rack: &op.rack}, o)
	switch {
	case err == nil:
		return outcome{rack: op.rack, revision: made.Revision}, nil
	case errors.Is(err, fleet.ErrConflict) && op.when != 0:
		return outcome{conflict: true}, nil
	case errors.Is(err, api.ErrUncertain):
		return outcome{unknown: true}, nil
	}
	return outcome{}, err
}

// excused reports whether a controller that is struck may say so.
func excused(err error) bool {
	for _, e := range []error{api.ErrUnavailable, api.ErrNotLeader, api.ErrNoAnswer, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
