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

// A NodeView is a node without secrets, as it was written or with what its profiles say, and what was last seen of it.
type NodeView struct {
	fleet.Node
	Secrets []string  `json:"secrets,omitempty"` // the paths of the fields that have a value and are not shown
	State   string    `json:"state"`             // unseen, failing, silent, or a fleet.Phase
	Since   time.Time `json:"since,omitzero"`    // when it got into that state, by this controller's clock
	Failure string    `json:"failure,omitempty"` // why it is failing
	Paused  string    `json:"paused,omitempty"`  // why it gives nothing on of its image now; "" while it does
	Ended   bool      `json:"ended,omitempty"`   // it gives nothing on any more, as its reseed has it
	Faults  []Suspect `json:"faults,omitempty"`  // what other nodes and controllers complain about in it as a peer
}

// viewNode joins a node with its newest boot, if seen.
func viewNode(n fleet.Node, b fleet.Boot, seen bool, now time.Time) NodeView {
	v := NodeView{Node: n.WithoutSecrets(), Secrets: secretsOf(n.Settings), State: StateUnseen}
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
	if v.State != StateSilent {
		v.Paused, v.Ended = b.Swarm.Paused, b.Swarm.Ended
	}
	return v
}

// A ProfileView is a profile without secrets.
type ProfileView struct {
	fleet.Profile
	Secrets []string `json:"secrets,omitempty"` // the paths of the fields that have a value and are not shown
}

func viewProfile(p fleet.Profile) ProfileView {
	return ProfileView{p.WithoutSecrets(), secretsOf(p.Settings)}
}

// passwordPath is the path of the one field that can be written and not read.
const passwordPath = "bmc.password"

// secretsOf returns the paths of the secrets that settings hold.
func secretsOf(s fleet.Settings) []string {
	if len(s.BMC.Password) == 0 {
		return nil
	}
	return []string{passwordPath}
}
