package seeder

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// maxCulprits bounds the peers that are remembered for one kind of fault. Kinds do not compete: strangers, who can come
// from anywhere, crowd out no member's fault.
const maxCulprits = 64

// A Fault is what a peer did wrong.
type Fault struct {
	Peer  netip.Addr
	Kind  fleet.PeerFault
	Count int       // times
	Last  time.Time // the latest, with a monotonic reading
}

// faults remembers who did what wrong: for each kind the peers that did it last. The zero value is empty. Its methods may
// be called from any goroutine.
type faults struct {
	mu    sync.Mutex
	known map[fleet.PeerFault]map[netip.Addr]Fault
}

// add counts a fault of a peer. It returns how often that peer did it, which starts anew once it was crowded out.
func (f *faults) add(peer netip.Addr, kind fleet.PeerFault) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addLocked(peer, kind)
}

// once counts a fault of a peer unless it is known to have it.
func (f *faults) once(peer netip.Addr, kind fleet.PeerFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.known[kind][peer]; !known {
		f.addLocked(peer, kind)
	}
}

func (f *faults) addLocked(peer netip.Addr, kind fleet.PeerFault) int {
	if f.known == nil {
		f.known = make(map[fleet.PeerFault]map[netip.Addr]Fault)
	}
	of := f.known[kind]
	if of == nil {
		of = make(map[netip.Addr]Fault)
		f.known[kind] = of
	}
	seen, again := of[peer]
	if !again && len(of) >= maxCulprits {
		oldest := Fault{Last: time.Now()}
		for _, o := range of {
			if !o.Last.After(oldest.Last) {
				oldest = o
			}
		}
		delete(of, oldest.Peer)
	}
	seen = Fault{Peer: peer, Kind: kind, Count: seen.Count + 1, Last: time.Now()}
	of[peer] = seen
	return seen.Count
}

// list returns all faults, the latest first.
func (f *faults) list() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []Fault
	for _, of := range f.known {
		for _, fault := range of {
			all = append(all, fault)
		}
	}
	slices.SortFunc(all, func(a, b Fault) int {
		return cmp.Or(b.Last.Compare(a.Last), a.Peer.Compare(b.Peer), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}
