package controller

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// rosterEvery bounds how often the roster is made anew while the state changes.
const rosterEvery = 250 * time.Millisecond

// A roster knows whose addresses are the cluster's. Its methods may be called from any goroutine.
type roster struct {
	state func() fleet.State
	now   func() time.Time

	mu     sync.Mutex
	latest fleet.Roster
	of     fleet.Revision
	made   time.Time // zero before the first
}

// nodeAt returns the node that has an interface with an address.
func (r *roster) nodeAt(a netip.Addr) (fleet.Node, bool) { return r.state().NodeByIP(a.Unmap()) }

// nodeOf returns the name of the node at an address, or "".
func (r *roster) nodeOf(a netip.Addr) string {
	n, _ := r.nodeAt(a)
	return n.Name
}

// rackOf returns the rack of the node at an address, or "".
func (r *roster) rackOf(a netip.Addr) string {
	state := r.state()
	n, _ := state.NodeByIP(a.Unmap())
	return state.RackOf(n)
}

// rackOfNode returns the rack of the node with that name, or "".
func (r *roster) rackOfNode(name string) string {
	state := r.state()
	n, _ := state.Node(name)
	return state.RackOf(n)
}

// holds reports whether an address is a node's or a controller's.
func (r *roster) holds(a netip.Addr) bool {
	_, node := r.nodeAt(a)
	return node || r.isController(a)
}

// isController reports whether an address is a controller's.
func (r *roster) isController(a netip.Addr) bool {
	a = a.Unmap()
	cluster, _ := r.state().Cluster()
	return slices.ContainsFunc(cluster.Controllers, func(c fleet.Controller) bool { return c.Address == a })
}

// list returns the addresses of all nodes and controllers, as they are or were a moment ago.
func (r *roster) list() fleet.Roster {
	r.mu.Lock()
	defer r.mu.Unlock()
	state, now := r.state(), r.now()
	age := now.Sub(r.made)
	if !r.made.IsZero() && (state.Revision() == r.of || age >= 0 && age < rosterEvery) {
		return r.latest
	}
	r.latest, r.of, r.made = rosterOf(state), state.Revision(), now
	return r.latest
}

func rosterOf(state fleet.State) fleet.Roster {
	cluster, _ := state.Cluster()
	addresses := make([]netip.Addr, 0, state.CountNodes()+len(cluster.Controllers))
	for _, c := range cluster.Controllers {
		addresses = append(addresses, c.Address)
	}
	for n := range state.Nodes() {
		for _, i := range n.Interfaces {
			if i.IP.IsValid() {
				addresses = append(addresses, i.IP)
			}
		}
	}
	return fleet.NewRoster(addresses)
}
