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
	suspectFor      = time.Minute // after the last complaint
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

// charges reads what a node that was heard at seen complains of: what is recent and makes sense, once for each peer and fault.
func charges(r fleet.SwarmReport, seen, now time.Time) []charge {
	var out []charge
	for _, c := range r.Complaints[:min(len(r.Complaints), fleet.MaxComplaints)] {
		peer, last := c.Peer.Unmap(), seen.Add(-max(0, c.Age))
		if !peer.IsValid() || !slices.Contains(faultKinds[:], c.Fault) || now.Sub(last) >= suspectFor {
			continue
		}
		fresh := charge{peer: peer, fault: c.Fault, count: min(max(1, c.Count), maxFaultCount), last: last}
		if i := slices.IndexFunc(out, func(o charge) bool { return o.peer == peer && o.fault == c.Fault }); i < 0 {
			out = append(out, fresh)
		} else if last.After(out[i].last) {
			out[i] = fresh
		}
	}
	return out
}

// believed reports whether what an accuser says counts. Whoever holds something against many of its peers is more likely
// to be the one that is broken or lies. Strangers are no peers, however many of them knock.
func (a accuser) believed(member func(netip.Addr) bool) bool {
	accused := map[netip.Addr]bool{}
	for _, c := range a.against {
		if member(c.peer) {
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
		if !a.believed(member) {
			continue
		}
		for _, c := range a.against {
			if c.peer == a.address {
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
	t.ruling, t.judged = judge(t.accusers(func(peer) bool { return true }, now), t.sources.isNode), now
	return t.ruling
}

// verdictIn returns what follows from what the nodes of one swarm complain of.
func (t *peerTable) verdictIn(d fleet.Digest, now time.Time) verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	return judge(t.accusers(func(p peer) bool { return p.swarm.Blob == d }, now), t.sources.isNode)
}

// accusers returns those of the nodes that keep allows who complain, and this controller. The caller holds t.mu.
func (t *peerTable) accusers(keep func(peer) bool, now time.Time) []accuser {
	var out []accuser
	for name, p := range t.nodes {
		if len(p.swarm.Complaints) == 0 || !keep(p) {
			continue
		}
		if against := charges(p.swarm, p.seen, now); len(against) > 0 {
			out = append(out, accuser{name: name, address: p.addr.Addr(), peers: max(p.named, min(p.swarm.Peers, handout.MaxPeers)),
				swarm: len(t.swarms[p.swarm.Blob]), against: against})
		}
	}
	own := accuser{name: controllersName, trusted: true}
	for _, f := range t.sources.faults() {
		if now.Sub(f.Last) < suspectFor {
			own.against = append(own.against, charge{peer: f.Peer.Unmap(), fault: f.Kind, count: f.Count, last: f.Last})
		}
	}
	if len(own.against) > 0 {
		out = append(out, own)
	}
	return out
}
