package controller

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder/handout"
)

// When complaints make a peer a suspect.
const (
	accusersNeeded  = 2           // of one peer
	fewNodes        = 4           // in a swarm that has no more, one who complains is enough
	believedShare   = 3           // one who complains of more than a third of its peers is not believed
	maxFaultCount   = 1 << 20     // that one may claim to have counted
	verdictStays    = time.Second // how old a verdict may be
	controllersName = "controllers"
)

// faultKinds are the kinds of faults that complaints may be of.
var faultKinds = [...]fleet.PeerFault{fleet.FaultCorrupt, fleet.FaultStalled, fleet.FaultProtocol, fleet.FaultFlood, fleet.FaultStranger}

// An accuser is somebody who complains of peers.
type accuser struct {
	name    string
	address netip.Addr
	trusted bool // a controller, which is believed whatever it says
	peers   int  // that it has or was named, at most
	swarm   int  // nodes in its swarm
	against []charge
}

// A charge is what is held against one peer, of one kind.
type charge struct {
	peer     netip.Addr
	fault    fleet.PeerFault
	count    int
	accusers int // those that are believed
	last     time.Time
}

// A verdict is what follows from all complaints of a moment.
type verdict struct {
	charges []charge // by peer and fault
	avoided map[netip.Addr]bool
}

// lasts reports whether a charge still counts.
func (c charge) lasts(now time.Time) bool { return now.Sub(c.last) < c.fault.Lasts() }

// A grievance is what a node complained of lately. What it said counts for its time, whether it repeats it or not: it may
// have been booted anew, or be switched off.
type grievance struct {
	address netip.Addr
	swarm   fleet.Digest // that it was in when it complained last
	peers   int          // the most that it had at once, by its own account
	against []charge     // at most fleet.MaxComplaints, one for each peer and fault
}

// hear returns g with what a node at an address, heard at seen, complains of in r. What makes no sense is left out.
func (g grievance) hear(address netip.Addr, r fleet.SwarmReport, seen, now time.Time) grievance {
	g.peers = max(g.peers, min(r.Peers, handout.MaxPeers))
	if len(r.Complaints) == 0 {
		return g
	}
	g.address, g.swarm, g.against = address, r.Blob, slices.Clone(g.against)
	for _, c := range r.Complaints[:min(len(r.Complaints), fleet.MaxComplaints)] {
		fresh := charge{peer: c.Peer.Unmap(), fault: c.Fault, count: min(max(1, c.Count), maxFaultCount), last: seen.Add(-max(0, c.Age))}
		if fresh.peer.IsValid() && slices.Contains(faultKinds[:], c.Fault) {
			g.charge(fresh)
		}
	}
	g.against = lasting(g.against, now)
	slices.SortStableFunc(g.against, func(a, b charge) int { return cmp.Or(b.gravity()-a.gravity(), b.last.Compare(a.last)) })
	g.against = g.against[:min(len(g.against), fleet.MaxComplaints)]
	return g
}

// charge adds a charge to g, in place of an older one of the same peer and fault.
func (g *grievance) charge(fresh charge) {
	i := slices.IndexFunc(g.against, func(c charge) bool { return c.peer == fresh.peer && c.fault == fresh.fault })
	switch {
	case i < 0:
		g.against = append(g.against, fresh)
	case fresh.last.After(g.against[i].last):
		g.against[i] = fresh
	}
}

// gravity is greater for what must not be pushed out by the rest.
func (c charge) gravity() int {
	if c.fault == fleet.FaultCorrupt {
		return 1
	}
	return 0
}

// believed reports whether what an accuser says counts that is as grave as gravity or graver. Whoever holds something
// against many of its peers is more likely to be the one that is broken or lies; but that it finds many slow while it
// lacks processors takes nothing from what it says of wrong bytes. Strangers are no peers, however many of them knock.
func (a accuser) believed(gravity int, member func(netip.Addr) bool) bool {
	accused := map[netip.Addr]bool{}
	for _, c := range a.against {
		if c.gravity() >= gravity && member(c.peer) {
			accused[c.peer] = true
		}
	}
	return a.trusted || len(accused) <= 1 || len(accused)*believedShare <= a.peers
}

// judge weighs complaints. A peer is avoided if several complain of it, whatever of, or if anybody was sent wrong bytes
// by it. However often somebody complains of a peer, it counts once; so one liar can have avoided only whom it can
// claim to have been sent wrong bytes by, and no more than a third of its peers.
func judge(accusers []accuser, member func(netip.Addr) bool) verdict {
	type key struct {
		peer  netip.Addr
		fault fleet.PeerFault
	}
	sums := map[key]charge{}
	by := map[netip.Addr]map[string]bool{} // peers to those who accuse them
	v := verdict{avoided: map[netip.Addr]bool{}}
	for _, a := range accusers {
		believed := [...]bool{a.believed(0, member), a.believed(1, member)}
		for _, c := range a.against {
			if c.peer == a.address || !believed[c.gravity()] {
				continue
			}
			sum, known := sums[key{c.peer, c.fault}]
			if !known {
				sum = charge{peer: c.peer, fault: c.fault}
			}
			sum.count, sum.accusers = min(sum.count+c.count, maxFaultCount), sum.accusers+1
			if c.last.After(sum.last) {
				sum.last = c.last
			}
			sums[key{c.peer, c.fault}] = sum
			if by[c.peer] == nil {
				by[c.peer] = map[string]bool{}
			}
			by[c.peer][a.name] = true
			if c.fault == fleet.FaultCorrupt || len(by[c.peer]) >= accusersNeeded || !a.trusted && a.swarm <= fewNodes {
				v.avoided[c.peer] = true
			}
		}
	}
	v.charges = slices.SortedFunc(maps.Values(sums), func(a, b charge) int {
		return cmp.Or(a.peer.Compare(b.peer), cmp.Compare(a.fault, b.fault))
	})
	return v
}

// verdict returns what follows from what everybody complains of, as of a moment ago.
func (t *peerTable) verdict(now time.Time) verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	if age := now.Sub(t.judged); !t.judged.IsZero() && age >= 0 && age < verdictStays {
		return t.ruling
	}
	t.ruling, t.judged = judge(t.accusers(func(grievance) bool { return true }, now), t.sources.isNode), now
	return t.ruling
}

// verdictIn returns what follows from what the nodes of one swarm complain of.
func (t *peerTable) verdictIn(d fleet.Digest, now time.Time) verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	return judge(t.accusers(func(g grievance) bool { return g.swarm == d }, now), t.sources.isNode)
}

// accusers returns those of the nodes that keep allows who complain, and this controller. The caller holds t.mu.
func (t *peerTable) accusers(keep func(grievance) bool, now time.Time) []accuser {
	var out []accuser
	for name, g := range t.grievances {
		if !keep(g) {
			continue
		}
		if against := lasting(g.against, now); len(against) > 0 {
			out = append(out, accuser{name: name, address: g.address, peers: max(t.nodes[name].named, g.peers),
				swarm: len(t.swarms[g.swarm]), against: against})
		}
	}
	own := accuser{name: controllersName, trusted: true}
	for _, f := range t.sources.faults() {
		if c := (charge{peer: f.Peer.Unmap(), fault: f.Kind, count: f.Count, last: f.Last}); c.lasts(now) {
			own.against = append(own.against, c)
		}
	}
	if len(own.against) > 0 {
		out = append(out, own)
	}
	return out
}

// lasting returns those of all that still count.
func lasting(all []charge, now time.Time) []charge {
	var out []charge
	for _, c := range all {
		if c.lasts(now) {
			out = append(out, c)
		}
	}
	return out
}
