package controller

import (
	"context"
	"errors"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/netboot"
	"github.com/samara-hpc/samara/internal/observe"
	"github.com/samara-hpc/samara/mesh"
	"github.com/samara-hpc/samara/raftstore"
)

// store is a raftstore.Store as api.Store: its reasons travel as the API's.
type store struct{ *raftstore.Store }

// Propose commits e.
func (s store) Propose(ctx context.Context, e fleet.Entry) (fleet.Revision, error) {
	rev, err := s.Store.Propose(ctx, e)
	return rev, apiError(err)
}

// Read returns a state as new as c promises.
func (s store) Read(ctx context.Context, c api.Consistency) (fleet.State, error) {
	state, err := s.Store.Read(ctx, raftstore.Consistency(c))
	if err = apiError(err); err != nil && !errors.Is(err, api.ErrNotLeader) && ctx.Err() == nil {
		err = translated{api.ErrUnavailable, err} // another controller may do better
	}
	return state, err
}

// observer is an observe.Journal as api.Observer.
type observer struct{ *observe.Journal }

// Unknown returns the machines that no node claims.
func (o observer) Unknown() []fleet.UnknownMachine { return o.UnknownMachines() }

// holders returns the nodes among gossip's members, and what they say they hold.
func holders(members []mesh.Member) []holder {
	var nodes []holder
	for _, m := range members {
		if m.Meta.Role != mesh.RoleNode {
			continue
		}
		nodes = append(nodes, holder{name: m.Name, addr: m.Swarm(), alive: m.State == mesh.StateAlive, holds: func(d fleet.Digest) bool {
			_, all := m.Meta.Holds(d)
			return all
		}})
	}
	return nodes
}

// bootServices sums up the boot services' counters for people.
func bootServices(c netboot.Counters) api.BootServices {
	return api.BootServices{Requests: c.Requests, Answers: c.Answers, Malformed: c.Malformed, Unknown: c.Unknown,
		Dropped: c.Limited + c.Dropped, TFTP: c.TFTP, HTTP: c.HTTP, HTTPFailed: c.HTTPFailed, HeldFiles: c.HeldFiles, HeldBytes: c.HeldBytes}
}

// alive counts the members that gossip calls alive.
func alive(members []mesh.Member) int {
	n := 0
	for _, m := range members {
		if m.State == mesh.StateAlive {
			n++
		}
	}
	return n
}

// forDepot returns the other controllers, to copy blobs from and to.
func (n *neighbours) forDepot() []otherController {
	var out []otherController
	for _, s := range n.all() {
		out = append(out, otherController{Controller: s.controller, Alive: s.alive, Client: s.client, Offers: s.hello.Offers})
	}
	return out
}
