package seeder

import (
	"cmp"
	"net/netip"
	"slices"
)

// A Member is a process that may take part in a swarm, as a controller knows it.
type Member struct {
	Name    string // unique among members
	Rack    string // "" if unknown
	Addr    netip.AddrPort
	Holding Holding // of the blob in question
	Alive   bool
	Origin  bool // a controller
}

// A Holding is how much of a blob a member has.
type Holding uint8

// What a member may hold. HoldsSome is also said of one that has nothing yet and is fetching.
const (
	HoldsNone Holding = iota
	HoldsSome
	HoldsAll
)

// The shape of a hand-out. Six to ten peers were measured to suffice for swarms of 48, and ten for thousands; far ones
// keep the racks' swarms one swarm.
const (
	HandOutPeers    = 10
	handOutFar      = 3 // at least, outside the asker's rack
	handOutComplete = 3 // at least, that hold everything
	warmInRack      = 3 // complete members of a rack that make the origin needless there
	warmAnywhere    = 8 // complete members that make the origin needless
)

// A HandOutInput is a question for peers.
type HandOutInput struct {
	Asker    string // its name among the members, which it need not be one of
	Rack     string // the asker's
	Complete bool   // the asker holds everything
	Starving bool   // the asker has verified nothing for a while, in spite of the peers it was told of
	Members  []Member
}

// A HandOutAnswer says whom to fetch from.
type HandOutAnswer struct {
	Peers  []netip.AddrPort
	Origin bool // controllers may be asked as well
}

// HandOut chooses the peers that an asker is told of: those alive that hold or fetch the blob, at most HandOutPeers, most
// of them from its rack, at least three from others and at least three complete ones as far as there are any. Who is told
// of whom is a matter of hashing their names: the same question has the same answer at every controller, whatever the
// order of members; a member that comes or goes changes few answers; and the whole is close to a random regular graph.
// The origin is for a cold image, for one that nobody else has, and for who starves. A complete asker needs nobody.
func HandOut(in HandOutInput) HandOutAnswer {
	if in.Complete {
		return HandOutAnswer{}
	}
	asker := hashOf(in.Asker)
	near, far := ranking{limit: HandOutPeers}, ranking{limit: HandOutPeers}
	nearAll, farAll := ranking{limit: handOutComplete}, ranking{limit: handOutComplete}
	completeNear, complete := 0, 0
	for i := range in.Members {
		m := &in.Members[i]
		if !m.Alive || m.Origin || m.Holding == HoldsNone || m.Name == in.Asker || !m.Addr.IsValid() || m.Addr.Port() == 0 {
			continue
		}
		r := ranked{score(asker, m), m}
		if m.Rack == in.Rack {
			near.add(r)
		} else {
			far.add(r)
		}
		if m.Holding != HoldsAll {
			continue
		}
		complete++
		if m.Rack == in.Rack {
			completeNear++
			nearAll.add(r)
		} else {
			farAll.add(r)
		}
	}
	var p picks
	p.fill(handOutComplete, nearAll, farAll)
	p.fillFar(in.Rack, far)
	p.fill(HandOutPeers, near, far)
	warm := completeNear >= warmInRack || complete >= warmAnywhere
	return HandOutAnswer{Peers: p.addrs, Origin: in.Starving || !warm || len(p.addrs) == 0}
}

// picks collects members, each address once.
type picks struct {
	members []*Member
	addrs   []netip.AddrPort
}

func (p *picks) add(m *Member) {
	if !slices.Contains(p.addrs, m.Addr) {
		p.members = append(p.members, m)
		p.addrs = append(p.addrs, m.Addr)
	}
}

// fill picks from the rankings, the first one first, until there are n.
func (p *picks) fill(n int, from ...ranking) {
	for _, r := range from {
		for _, c := range r.best {
			if len(p.addrs) >= n {
				return
			}
			p.add(c.member)
		}
	}
}

// fillFar picks from far until enough of the picks are outside rack.
func (p *picks) fillFar(rack string, far ranking) {
	outside := 0
	for _, m := range p.members {
		if m.Rack != rack {
			outside++
		}
	}
	for _, c := range far.best {
		if outside >= handOutFar {
			return
		}
		before := len(p.addrs)
		p.add(c.member)
		outside += len(p.addrs) - before
	}
}

// A ranking keeps the members with the highest scores.
type ranking struct {
	limit int
	best  []ranked // from high to low
}

type ranked struct {
	score  uint64
	member *Member
}

func (a ranked) compare(b ranked) int {
	return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.member.Name, b.member.Name), a.member.Addr.Compare(b.member.Addr))
}

func (r *ranking) add(c ranked) {
	if len(r.best) == r.limit {
		if c.compare(r.best[len(r.best)-1]) >= 0 {
			return
		}
		r.best = r.best[:len(r.best)-1]
	}
	at, _ := slices.BinarySearchFunc(r.best, c, ranked.compare)
	r.best = slices.Insert(r.best, at, c)
}

// score ranks a member for an asker. A complete member draws four times, which makes it as likely as four others to come first.
func score(asker uint64, m *Member) uint64 {
	h := mix(asker ^ mix(hashOf(m.Name)))
	if m.Holding != HoldsAll {
		return h
	}
	return max(h, mix(h+1), mix(h+2), mix(h+3))
}

// hashOf is FNV-1a in 64 bits, the same on every machine.
func hashOf(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix is the finalizer of splitmix64: it spreads a change of any bit over all bits.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
