package api

import (
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A ClusterView is what people may see of a fleet.Cluster: everything but its keys.
type ClusterView struct {
	Name           string             `json:"name"`
	ID             string             `json:"id"`
	CA             string             `json:"ca"` // PEM certificate, public
	AuthorizedKeys []string           `json:"authorized_keys,omitempty"`
	Controllers    []fleet.Controller `json:"controllers"`
	Seeding        fleet.Seeding      `json:"seeding,omitzero"`
	Format         int                `json:"format"` // of the log: what every controller is known to understand
	Revision       fleet.Revision     `json:"revision"`
}

func viewCluster(c fleet.Cluster) ClusterView {
	return ClusterView{Name: c.Name, ID: c.ID, CA: string(c.CA), AuthorizedKeys: c.AuthorizedKeys, Controllers: c.Controllers,
		Seeding: c.Seeding, Format: max(1, c.Format), Revision: c.Revision}
}

// States of a node that are not the name of a phase. Between them, a node's state is the last phase its boot reached.
const (
	StateUnseen  = "unseen"  // no controller has heard of it since it started
	StateFailing = "failing" // a step of its boot fails and is being retried
	StateSilent  = "silent"  // nothing was heard of it for SilentAfter
	StateReady   = string(fleet.PhaseReady)
)

// SilentAfter is how long nothing may be heard of a node before it is called silent.
const SilentAfter = 5 * time.Minute

// A NodeView is a node as its profiles and it itself say, without secrets, and what was last seen of it.
type NodeView struct {
	fleet.Node
	State   string    `json:"state"`             // unseen, failing, silent, or a fleet.Phase
	Since   time.Time `json:"since,omitzero"`    // when it got into that state, by this controller's clock
	Failure string    `json:"failure,omitempty"` // why it is failing
	Faults  []Suspect `json:"faults,omitempty"`  // what other nodes and controllers complain about in it as a peer
}

// viewNode joins a node with its newest boot, if seen.
func viewNode(n fleet.Node, b fleet.Boot, seen bool, now time.Time) NodeView {
	v := NodeView{Node: n.WithoutSecrets(), State: StateUnseen}
	if !seen || len(b.Phases) == 0 {
		return v
	}
	last := b.Phases[len(b.Phases)-1]
	switch {
	case now.Sub(b.Seen) > SilentAfter:
		v.State, v.Since, v.Failure = StateSilent, b.Seen, b.Failure
	case b.Failure != "":
		v.State, v.Since, v.Failure = StateFailing, last.At, b.Failure
	default:
		v.State, v.Since = string(last.Phase), last.At
	}
	return v
}

// A Change is the answer to a request that changes something.
type Change struct {
	Revision fleet.Revision `json:"revision"` // at which the change holds; with DryRun, that it was computed at
	DryRun   bool           `json:"dry_run,omitempty"`
	Changed  []Difference   `json:"changed"` // nothing if all was so already
}

// A Difference says how one object differs after a change.
type Difference struct {
	Kind   string  `json:"kind"`   // node, image, network, cluster
	Name   string  `json:"name"`   // of the object
	Action string  `json:"action"` // add, set, delete
	Fields []Field `json:"fields,omitempty"`
}

// A Field is one field of an object before and after a change, as JSON has it. Was is "" for what was not there, Is
// is "" for what is no more.
type Field struct {
	Name string `json:"name"`
	Was  string `json:"was,omitempty"`
	Is   string `json:"is,omitempty"`
}
