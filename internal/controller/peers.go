package controller

import (
	"net/netip"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder/handout"
)

// How long what a node said of itself holds, and how often it is asked to say it.
const (
	fetchInterval  = 2 * time.Second  // between questions of a node that fetches
	seedInterval   = 30 * time.Second // between those of one that seeds
	fetchingTrust  = 10 * time.Second // after which a silent node that was fetching counts as gone
	seedingTrust   = 90 * time.Second // after which a silent node that was seeding counts as gone, unless gossip has it alive
	starvingAfter  = 10 * time.Second // without a verified byte, a node may ask the origin whatever the swarm looks like
	forgetPeerPast = 10 * time.Minute
	sweepInterval  = time.Minute
	membersStay    = 500 * time.Millisecond // how old a list of members may be: thousands of nodes ask within a second
)

// A holder is what gossip says of one node: which blobs it holds whole.
type holder struct {
	name  string
	addr  netip.AddrPort // of its swarm port
	alive bool
	holds func(fleet.Digest) bool
}

// A peerTable knows which node holds what of which blob: from the nodes' reports, and from gossip for nodes that have
// not reported to this controller. It is soft state. Its methods may be called from any goroutine.
type peerTable struct {
	gossip func() []holder
	rackOf func(node string) string

	mu     sync.Mutex
	nodes  map[string]peer
	swept  time.Time // when forgotten nodes were last looked for
	listed map[fleet.Digest]memberList
}

// A memberList is the members of one swarm as they were a moment ago.
type memberList struct {
	members []handout.Member
	at      time.Time
}

// A peer is one node's last report.
type peer struct {
	addr     netip.AddrPort
	boot     string
	swarm    fleet.SwarmReport
	seen     time.Time // when it reported
	progress time.Time // when it last had more than before
}

func newPeerTable(gossip func() []holder, rackOf func(string) string) *peerTable {
	return &peerTable{gossip: gossip, rackOf: rackOf, nodes: map[string]peer{}, listed: map[fleet.Digest]memberList{}}
}

// report takes note of what a node holds that speaks BitTorrent at addr.
func (t *peerTable) report(node string, addr netip.AddrPort, r fleet.Report, now time.Time) {
	t.put(node, peer{addr: addr, boot: r.BootID, swarm: r.Swarm, seen: now}, now)
}

// hear takes note of what another controller was told by a node that speaks BitTorrent at addr. What that controller's
// clock says is later than now counts as now.
func (t *peerTable) hear(b fleet.Boot, addr netip.AddrPort, now time.Time) {
	seen := b.Seen
	if seen.After(now) {
		seen = now
	}
	t.put(b.Node, peer{addr: addr, boot: b.ID, swarm: b.Swarm, seen: seen}, now)
}

// put keeps the newer of two pictures of a node.
func (t *peerTable) put(node string, p peer, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, known := t.nodes[node]
	if known && p.seen.Before(old.seen) {
		return
	}
	p.progress = p.seen
	if known && old.boot == p.boot && old.swarm.Blob == p.swarm.Blob && p.swarm.Have <= old.swarm.Have {
		p.progress = old.progress
	}
	t.nodes[node] = p
	if now.Sub(t.swept) > sweepInterval {
		t.sweep(now)
	}
}

// sweep forgets nodes that have long been silent. The caller holds t.mu.
func (t *peerTable) sweep(now time.Time) {
	t.swept = now
	clear(t.listed)
	for name, p := range t.nodes {
		if now.Sub(p.seen) > forgetPeerPast {
			delete(t.nodes, name)
		}
	}
}

// members returns who holds or fetches a blob, by reports and by gossip, controllers left out. The caller must not
// modify the list.
func (t *peerTable) members(d fleet.Digest, now time.Time) []handout.Member {
	t.mu.Lock()
	list, ok := t.listed[d]
	t.mu.Unlock()
	if age := now.Sub(list.at); ok && age >= 0 && age < membersStay {
		return list.members
	}
	list = memberList{t.list(d, now), now}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listed[d] = list
	return list.members
}

func (t *peerTable) list(d fleet.Digest, now time.Time) []handout.Member {
	byName := map[string]handout.Member{}
	alive := map[string]bool{}
	for _, h := range t.gossip() {
		alive[h.name] = h.alive
		if h.alive && h.holds(d) {
			byName[h.name] = handout.Member{Name: h.name, Rack: t.rackOf(h.name), Addr: h.addr, Holding: handout.HoldsAll, Alive: true}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, p := range t.nodes {
		if p.swarm.Blob != d {
			if now.Sub(p.seen) < seedingTrust {
				delete(byName, name) // it has said since that it is about another blob
			}
			continue
		}
		m := handout.Member{Name: name, Rack: t.rackOf(name), Addr: p.addr, Holding: handout.HoldsSome, Alive: now.Sub(p.seen) < fetchingTrust}
		if p.swarm.Complete {
			m.Holding = handout.HoldsAll
			m.Alive = alive[name] || now.Sub(p.seen) < seedingTrust
		}
		byName[name] = m
	}
	out := make([]handout.Member, 0, len(byName))
	for _, m := range byName {
		out = append(out, m)
	}
	return out
}

// answer tells a node whom to fetch its image from.
func (t *peerTable) answer(node string, r fleet.Report, controllers []fleet.Controller, now time.Time) fleet.SwarmAnswer {
	if r.Swarm.Complete || r.Swarm.Blob.IsZero() {
		return fleet.SwarmAnswer{Interval: seedInterval}
	}
	t.mu.Lock()
	starving := now.Sub(t.nodes[node].progress) > starvingAfter
	t.mu.Unlock()
	table := handout.New(t.members(r.Swarm.Blob, now), 0)
	choice := table.For(handout.Question{Name: node, Rack: t.rackOf(node), Starving: starving})
	answer := fleet.SwarmAnswer{Peers: choice.Peers, Interval: fetchInterval}
	if choice.Origin {
		for _, c := range controllers {
			answer.Origin = append(answer.Origin, netip.AddrPortFrom(c.Address, c.Ports.Swarm))
		}
	}
	return answer
}
