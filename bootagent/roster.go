package bootagent

import (
	"net/netip"
	"sync/atomic"

	"github.com/samara-hpc/samara/fleet"
)

// A roster is who may take part in the swarm, as a controller last said. Its methods may be called from any goroutine.
type roster struct{ latest atomic.Pointer[fleet.Roster] }

// learn replaces the roster by one that a controller sent. What names nobody is not one: the old one stays.
func (r *roster) learn(n fleet.Roster) {
	if n.ID != "" {
		r.latest.Store(&n)
	}
}

// allows reports whether a machine may take part. Before any roster came everybody may: controllers that know none send
// none, and the bytes are checked whoever sends them.
func (r *roster) allows(a netip.Addr) bool {
	n := r.latest.Load()
	return n == nil || n.Holds(a)
}

// id names the roster, "" for none.
func (r *roster) id() string {
	if n := r.latest.Load(); n != nil {
		return n.ID
	}
	return ""
}
