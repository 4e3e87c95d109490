package controller

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
	"github.com/samara-hpc/samara/seeder/handout"
)

// How long what a node said of itself holds, and how often it is asked to say it.
const (
	firstInterval  = 600 * time.Millisecond // before the second report: when a cluster is switched on, all others have come by then
	fetchInterval  = 2 * time.Second        // between reports of a node that fetches
	seedInterval   = 30 * time.Second       // between those of one that seeds; agents add a jitter
	fetchingTrust  = 7 * time.Second        // after three missed reports, a node that was fetching counts as gone
	seedingTrust   = 90 * time.Second       // after three missed reports, a node that was seeding does, unless gossip has it alive
	starvingAfter  = 10 * time.Second       // without a verified byte, a node may ask the origin whatever the swarm looks like
	forgetPeerPast = 10 * time.Minute
	sweepInterval  = time.Minute
	tableStays     = 500 * time.Millisecond // how old a table may be: thousands of nodes ask within a second
	maxTables      = 64                     // swarms whose tables are kept at a time
	rateWeight     = 0.3                    // of the newest figure in a node's rate
)

// A holder is what gossip says of one node: which blobs it holds whole.
type holder struct {
	name  string
	addr  netip.AddrPort // of its swarm port
	alive bool
	holds func(fleet.Digest) bool
}

// peerSources are what a peerTable asks. They must not call it.
type peerSources struct {
	gossip func() []holder
	rackOf func(node string) string
	isNode func(netip.Addr) bool
	faults func() []seeder.Fault // what this controller holds against peers
}

// A peerTable knows which node holds what of which blob: from the nodes' reports, and from gossip for nodes that have
// not reported to this controller. It is soft state. Its methods may be called from any goroutine.
type peerTable struct {
	sources peerSources

	mu     sync.Mutex
	nodes  map[string]peer
	swarms map[fleet.Digest]map[string]struct{} // the nodes by what they hold or fetch
	swept  time.Time                            // when forgotten nodes were last looked for
	tables map[fleet.Digest]*swarmTable

	grievances map[string]grievance // by node
	ruling     verdict              // on what nodes complain of
	judged     time.Time
}

// A swarmTable is one swarm as it was a moment ago.
type swarmTable struct {
	mu      sync.Mutex
	members []handout.Member
	graph   *handout.Table
	nodes   int // that had reported
	at      time.Time
}

// A peer is one node's last report, and what follows from those before it.
type peer struct {
	addr     netip.AddrPort
	rack     string
	boot     string
	swarm    fleet.SwarmReport
	seen     time.Time // when it reported
	progress time.Time // when it last had more than before
	rate     float64   // bytes per second that it gains
	named    int       // the most peers that it was told of at once, by this controller
	answered bool      // this controller has told it of peers, or that there are none
}

func newPeerTable(sources peerSources) *peerTable {
	return &peerTable{sources: sources, nodes: map[string]peer{}, swarms: map[fleet.Digest]map[string]struct{}{}, tables: map[fleet.Digest]*swarmTable{},
		grievances: map[string]grievance{}}
}

// report takes note of what a node holds that stands in rack and speaks BitTorrent at addr.
func (t *peerTable) report(node, rack string, addr netip.AddrPort, r fleet.Report, now time.Time) {
	t.put(node, peer{addr: addr, rack: rack, boot: r.BootID, swarm: r.Swarm, seen: now}, now)
}

// hear takes note of what another controller was told, at b.Seen by this controller's clock, by a node that stands in rack
// and speaks BitTorrent at addr.
func (t *peerTable) hear(b fleet.Boot, rack string, addr netip.AddrPort, now time.Time) {
	seen := b.Seen
	if seen.After(now) {
		seen = now
	}
	t.put(b.Node, peer{addr: addr, rack: rack, boot: b.ID, swarm: b.Swarm, seen: seen}, now)
}

// put keeps the newer of two pictures of a node.
func (t *peerTable) put(node string, p peer, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, known := t.nodes[node]
	if known && p.seen.Before(old.seen) {
		return
	}
	p.progress, p.named = p.seen, old.named
	if known && old.boot == p.boot && old.swarm.Blob == p.swarm.Blob {
		p.answered = old.answered
		p.rate = old.rateWith(p)
		if p.swarm.Have <= old.swarm.Have {
			p.progress = old.progress
		}
	}
	if old.swarm.Blob != p.swarm.Blob {
		t.part(node, old.swarm.Blob)
	}
	of := t.swarms[p.swarm.Blob]
	if of == nil {
		of = map[string]struct{}{}
		t.swarms[p.swarm.Blob] = of
	}
	of[node] = struct{}{}
	t.nodes[node] = p
	if g, complained := t.grievances[node]; complained || len(p.swarm.Complaints) > 0 {
		t.grievances[node] = g.hear(p.addr.Addr(), p.swarm, p.seen, now)
	}
	if now.Sub(t.swept) > sweepInterval {
		t.sweep(now)
	}
}

// rateWith returns the rate of a node whose last report was p, smoothed over the reports before it.
func (p peer) rateWith(next peer) float64 {
	passed := next.seen.Sub(p.seen).Seconds()
	if passed <= 0 || next.swarm.Have < p.swarm.Have {
		return p.rate
	}
	rate := float64(next.swarm.Have-p.swarm.Have) / passed
	if p.rate == 0 {
		return rate
	}
	return rateWeight*rate + (1-rateWeight)*p.rate
}

// part takes a node out of a swarm. The caller holds t.mu.
func (t *peerTable) part(node string, d fleet.Digest) {
	delete(t.swarms[d], node)
	if len(t.swarms[d]) == 0 {
		delete(t.swarms, d)
	}
}

// sweep forgets nodes that have long been silent, and complaints whose time is over. The caller holds t.mu.
func (t *peerTable) sweep(now time.Time) {
	t.swept = now
	clear(t.tables)
	for name, p := range t.nodes {
		if now.Sub(p.seen) > forgetPeerPast {
			delete(t.nodes, name)
			t.part(name, p.swarm.Blob)
		}
	}
	for name, g := range t.grievances {
		if len(lasting(g.against, now)) == 0 {
			delete(t.grievances, name)
		}
	}
}

// alive reports whether a node is believed to be there; gossip says whether it hears it.
func (p peer) alive(gossip bool, now time.Time) bool {
	if p.swarm.Complete {
		return gossip || now.Sub(p.seen) < seedingTrust
	}
	return now.Sub(p.seen) < fetchingTrust
}

// runs reports whether a node that is not silent runs or fetches a blob, be it that it gives nothing on.
func (t *peerTable) runs(d fleet.Digest, now time.Time) bool {
	if slices.ContainsFunc(t.members(d, now), func(m handout.Member) bool { return m.Alive }) {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.swarms[d] {
		if t.nodes[name].alive(false, now) {
			return true
		}
	}
	return false
}

// members returns who holds or fetches a blob, by reports and by gossip, controllers left out, and nodes whose
// configuration has them give nothing on. The caller must not modify the list.
func (t *peerTable) members(d fleet.Digest, now time.Time) []handout.Member {
	members, _ := t.swarm(d, now)
	return members
}

// swarm returns a swarm as it is or was a moment ago. It is looked at anew also when a quarter more nodes have reported
// than had then: when a cluster is switched on, the first to ask are followed by all others within that moment.
func (t *peerTable) swarm(d fleet.Digest, now time.Time) ([]handout.Member, *handout.Table) {
	t.mu.Lock()
	s, kept := t.tables[d]
	if !kept {
		if len(t.tables) >= maxTables {
			clear(t.tables)
		}
		s = &swarmTable{}
		t.tables[d] = s
	}
	nodes := len(t.swarms[d])
	t.mu.Unlock()

	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.at); s.graph == nil || age < 0 || age >= tableStays || 4*nodes > 5*s.nodes {
		s.members, s.nodes, s.at = t.list(d, now), nodes, now
		s.graph = handout.New(s.members, binary.BigEndian.Uint64(d[:8]))
	}
	return s.members, s.graph
}

// list makes the list of a swarm's members.
func (t *peerTable) list(d fleet.Digest, now time.Time) []handout.Member {
	avoided := t.verdict(now).avoided
	byName := map[string]handout.Member{}
	heard := map[string]bool{}
	for _, h := range t.sources.gossip() {
		heard[h.name] = h.alive
		if h.alive && h.holds(d) {
			byName[h.name] = handout.Member{Name: h.name, Rack: t.sources.rackOf(h.name), Addr: h.addr, Holding: handout.HoldsAll,
				Alive: true, Suspect: avoided[h.addr.Addr()]}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range byName {
		if p, known := t.nodes[name]; known && p.swarm.Blob != d && now.Sub(p.seen) < seedingTrust {
			delete(byName, name) // it has said since that it is about another blob
		}
	}
	for name := range t.swarms[d] {
		p := t.nodes[name]
		if p.swarm.Complete && p.swarm.Ended {
			delete(byName, name) // gossip may be behind
			continue
		}
		m := handout.Member{Name: name, Rack: p.rack, Addr: p.addr, Holding: handout.HoldsSome, Alive: p.alive(heard[name], now),
			Suspect: avoided[p.addr.Addr()]}
		if p.swarm.Complete {
			m.Holding = handout.HoldsAll
			m.Suspect = m.Suspect || p.swarm.Paused != "" // who sends nothing is asked as little as who sends what is wrong
		}
		byName[name] = m
	}
	out := make([]handout.Member, 0, len(byName))
	for _, m := range byName {
		out = append(out, m)
	}
	return out
}

// answer tells a node that has just reported whom to fetch its image from, and when to report again.
func (t *peerTable) answer(node string, r fleet.Report, now time.Time) (handout.Answer, time.Duration) {
	if r.Swarm.Complete || r.Swarm.Blob.IsZero() {
		return handout.Answer{}, seedInterval
	}
	t.mu.Lock()
	p := t.nodes[node]
	t.mu.Unlock()
	_, graph := t.swarm(r.Swarm.Blob, now)
	answer := graph.For(handout.Question{Name: node, Rack: p.rack, Starving: now.Sub(p.progress) > starvingAfter})
	t.mu.Lock()
	defer t.mu.Unlock()
	interval := fetchInterval
	if p, known := t.nodes[node]; known {
		if !p.answered {
			interval = firstInterval
		}
		p.answered, p.named = true, max(p.named, len(answer.Peers)) // fewer once those it complains of are not named any more
		t.nodes[node] = p
	}
	return answer, interval
}
