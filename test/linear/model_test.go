package linear

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/samara-hpc/samara/fleet"
)

// An operation is what a client asks of one node.
type operation struct {
	node  string
	write bool
	rack  string         // to be written; no two writes of a run write the same
	when  fleet.Revision // a write is conditional on the node being at this revision; 0 is unconditional
}

// An outcome is what came of an operation.
type outcome struct {
	unknown  bool           // of a write: it may have taken effect, or may yet, or never
	conflict bool           // of a conditional write: the condition did not hold
	rack     string         // that was read
	revision fleet.Revision // that was read, or written
}

// A register is what a node is at one moment, as far as clients can know.
type register struct {
	rack     string
	revision fleet.Revision
	vague    bool // some revision after that one: nobody was told which
}

// at reports whether r may be at a revision.
func (r register) at(revision fleet.Revision) bool {
	if r.vague {
		return revision > r.revision
	}
	return revision == r.revision
}

// step applies an operation to a node, and reports whether it can have had that outcome.
//
// A write of unknown outcome is taken to take effect whenever it may, which leaves out no history: where it must not
// have, it is put after everything that was seen.
func (r register) step(op operation, out outcome) (bool, register) {
	switch {
	case !op.write:
		return r.rack == out.rack && r.at(out.revision), register{rack: r.rack, revision: out.revision}
	case out.conflict:
		return r.vague || !r.at(op.when), r
	case out.unknown && op.when != 0 && !r.at(op.when):
		return true, r
	case out.unknown:
		return true, register{rack: op.rack, revision: max(r.revision, op.when), vague: true}
	case op.when != 0 && !r.at(op.when):
		return false, r
	}
	return out.revision > max(r.revision, op.when), register{rack: op.rack, revision: out.revision}
}

// model is one node of a fleet, created at a revision that no client was told.
var model = porcupine.Model{
	Init: func() any { return register{vague: true} },
	Step: func(state, input, output any) (bool, any) {
		return state.(register).step(input.(operation), output.(outcome))
	},
	DescribeOperation: func(input, output any) string {
		return fmt.Sprint(input.(operation), " ", output.(outcome))
	},
	DescribeState: func(state any) string { return state.(register).String() },
}

func (op operation) String() string {
	switch {
	case !op.write:
		return "read"
	case op.when != 0:
		return fmt.Sprintf("write %s if at %d", op.rack, op.when)
	}
	return "write " + op.rack
}

func (o outcome) String() string {
	switch {
	case o.unknown:
		return "unknown"
	case o.conflict:
		return "conflict"
	}
	return fmt.Sprintf("%s at %d", o.rack, o.revision)
}

func (r register) String() string {
	if r.vague {
		return fmt.Sprintf("%s after %d", r.rack, r.revision)
	}
	return fmt.Sprintf("%s at %d", r.rack, r.revision)
}
