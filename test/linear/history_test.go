package linear

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/samara-hpc/samara/fleet"
)

// A history is all that clients did and what came of it. Its methods may be called from any goroutine.
type history struct {
	began time.Time

	mu     sync.Mutex
	ops    []porcupine.Operation
	counts counts
}

// counts says what a history holds.
type counts struct {
	reads, writes, conflicts, unknown, refused int
}

func newHistory() *history { return &history{began: time.Now()} }

// now is the time of the history's own clock, which never goes back.
func (h *history) now() int64 { return int64(time.Since(h.began)) }

// add records an operation that a client asked for at one moment and was answered now.
func (h *history) add(client int, asked int64, op operation, out outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: op, Call: asked, Output: out, Return: h.now()})
	switch {
	case out.unknown:
		h.counts.unknown++
	case out.conflict:
		h.counts.conflicts++
	case op.write:
		h.counts.writes++
	default:
		h.counts.reads++
	}
}

// refuse counts an operation that surely had no effect. It constrains nothing.
func (h *history) refuse() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.refused++
}

func (h *history) count() counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts
}

func (c counts) String() string {
	return fmt.Sprintf("%d reads, %d writes, %d conflicts, %d unknown, %d refused", c.reads, c.writes, c.conflicts, c.unknown, c.refused)
}

// finished returns the operations by node. Those of unknown outcome end after all others: they may take effect at any
// later time.
func (h *history) finished() map[string][]porcupine.Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	end := h.now()
	nodes := map[string][]porcupine.Operation{}
	for _, op := range h.ops {
		if op.Output.(outcome).unknown {
			op.Return = end
		}
		node := op.Input.(operation).node
		nodes[node] = append(nodes[node], op)
	}
	return nodes
}

// check returns an error for every node whose operations have no order in which they make sense, with a picture of
// them in dir. What it cannot decide within limit is an error too.
func (h *history) check(limit time.Duration, dir string) []error {
	nodes := h.finished()
	deadline := time.Now().Add(limit)
	var errs []error
	for _, node := range sortedKeys(nodes) {
		left := time.Until(deadline)
		if left <= 0 {
			return append(errs, fmt.Errorf("node %s: not checked within %v: too many operations at once", node, limit))
		}
		result, info := porcupine.CheckOperationsVerbose(model, nodes[node], left)
		if result == porcupine.Ok {
			continue
		}
		picture := filepath.Join(dir, node+".html")
		err := fmt.Errorf("node %s: %d operations are %s, not linearizable; %s shows them", node, len(nodes[node]), result, picture)
		if failed := porcupine.VisualizePath(model, info, picture); failed != nil {
			err = fmt.Errorf("%w (%v)", err, failed)
		}
		errs = append(errs, err)
	}
	return errs
}

// An acknowledged write is one of which a client knows that it was made.
type acknowledged struct {
	operation
	revision     fleet.Revision
	asked, heard int64
}

// writes returns the acknowledged writes by revision.
func (h *history) writes() []acknowledged {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []acknowledged
	for _, op := range h.ops {
		in, out := op.Input.(operation), op.Output.(outcome)
		if in.write && !out.unknown && !out.conflict {
			all = append(all, acknowledged{in, out.revision, op.Call, op.Return})
		}
	}
	slices.SortFunc(all, func(a, b acknowledged) int { return int(a.revision) - int(b.revision) })
	return all
}

// checkOrder holds all writes, whatever their node, to one order: each has a revision of its own, and none has one
// before that of a write which was acknowledged before it was asked for.
func checkOrder(writes []acknowledged) []error {
	var errs []error
	for i := 1; i < len(writes); i++ {
		if writes[i].revision == writes[i-1].revision {
			errs = append(errs, fmt.Errorf("two writes at revision %d: of %s and of %s", writes[i].revision, writes[i-1].node, writes[i].node))
		}
	}
	// Backwards, earliest is the first acknowledgement among writes of later revisions.
	for i, earliest := len(writes)-1, (acknowledged{}); i >= 0; i-- {
		if w := writes[i]; earliest.node != "" && earliest.heard < w.asked {
			errs = append(errs, fmt.Errorf("write of %s got revision %d, and was asked for after one of %s was acknowledged at revision %d",
				w.node, w.revision, earliest.node, earliest.revision))
		}
		if earliest.node == "" || writes[i].heard < earliest.heard {
			earliest = writes[i]
		}
	}
	return errs
}
