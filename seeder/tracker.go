package seeder

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/samara-hpc/samara/seeder/handout"
)

// Bounds of what a tracker remembers of clients that are not members.
const (
	maxAnnouncers      = 10000 // in all
	maxAnnouncersEach  = 1000  // of one torrent
	defaultAnnounceGap = time.Minute
)

// A TrackerConfig says what a Tracker knows.
type TrackerConfig struct {
	// Members returns who is in the swarm of a torrent, the origin included, or nothing if the torrent is not ours. It is
	// called for every announce, from several goroutines.
	Members func(Hash) []handout.Member
	// Allow reports whether a client may call from an address; nil allows all. One that may not is told so, is not
	// remembered, and learns nothing of a swarm.
	Allow func(netip.Addr) bool
	// Interval is how long a client should wait between announces; one that stays away for twice as long is forgotten.
	// 0 means a minute.
	Interval time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// A Tracker introduces BitTorrent clients that are not ours to the swarms that we know (BEP 3, BEP 23; IPv4 only). It
// serves only torrents that have members, remembers a bounded number of clients, and believes the address a connection
// comes from, never the one a client claims. It is an http.Handler for GET and HEAD.
type Tracker struct {
	members  func(Hash) []handout.Member
	allow    func(netip.Addr) bool
	interval time.Duration
	now      func() time.Time

	mu    sync.Mutex
	known map[Hash]map[netip.AddrPort]announcer
	count int
	sweep time.Time // when expired announcers are next removed
}

// An announcer is a client that is not a member.
type announcer struct {
	peerID  [20]byte
	seed    bool
	expires time.Time
}

// NewTracker returns a tracker that remembers nobody.
func NewTracker(c TrackerConfig) *Tracker {
	t := &Tracker{members: c.Members, allow: c.Allow, interval: c.Interval, now: c.Now, known: make(map[Hash]map[netip.AddrPort]announcer)}
	if t.interval <= 0 {
		t.interval = defaultAnnounceGap
	}
	if t.now == nil {
		t.now = time.Now
	}
	return t
}

// ServeHTTP answers an announce. What is wrong with one is said in the body, as BEP 3 wants it, with status 200.
func (t *Tracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "a tracker is asked by GET", http.StatusMethodNotAllowed)
		return
	}
	body, err := t.answer(r.URL.RawQuery, r.RemoteAddr)
	if err != nil {
		body = []byte("d14:failure reason" + bencoded(err.Error()) + "e")
	}
	w.Header().Set("Content-Type", "text/plain; charset=iso-8859-1")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // a client that went away announces again
}

func (t *Tracker) answer(query, remote string) ([]byte, error) {
	a, err := parseAnnounce(query)
	if err != nil {
		return nil, err
	}
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return nil, fmt.Errorf("the address you call from cannot be read: %q", remote)
	}
	self := netip.AddrPortFrom(from.Addr().Unmap(), a.port)
	if t.allow != nil && !t.allow(self.Addr()) {
		return nil, fmt.Errorf("%s is the address of no node and no controller of this cluster: only those take part in its swarms", self.Addr())
	}
	members := t.members(a.hash)
	if len(members) == 0 {
		return nil, fmt.Errorf("torrent %s is not served here", a.hash)
	}
	var peers []trackerPeer
	for _, m := range members {
		if m.Alive && !m.Suspect && m.Holding != handout.HoldsNone && m.Addr.Addr().Is4() && m.Addr.Port() != 0 {
			peers = append(peers, trackerPeer{addr: m.Addr, seed: m.Holding == handout.HoldsAll})
		}
	}
	peers = append(peers, t.note(a, self)...)
	seeds, leeches := 0, 0
	for _, p := range peers {
		if p.seed {
			seeds++
		} else {
			leeches++
		}
	}
	return t.encode(a, choose(a, self, peers), seeds, leeches), nil
}

// A trackerPeer is somebody that an announcer may be told of.
type trackerPeer struct {
	addr   netip.AddrPort
	seed   bool
	peerID string // "" for a member: a client that was told a wrong one would hang up
	rank   uint64
}

// note remembers an announcer, or forgets it if it stopped, and returns the other announcers of its torrent.
func (t *Tracker) note(a announce, self netip.AddrPort) []trackerPeer {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !now.Before(t.sweep) {
		t.expire(now)
		t.sweep = now.Add(t.interval / 2)
	}
	of := t.known[a.hash]
	_, known := of[self]
	switch {
	case a.event == "stopped":
		t.forget(a.hash, self)
	case !self.Addr().Is4(): // could be told to nobody
	case known || t.count < maxAnnouncers && len(of) < maxAnnouncersEach:
		if of == nil {
			of = make(map[netip.AddrPort]announcer)
			t.known[a.hash] = of
		}
		if !known {
			t.count++
		}
		of[self] = announcer{peerID: a.peerID, seed: a.left == 0 || a.event == "completed", expires: now.Add(2 * t.interval)}
	}
	var others []trackerPeer
	for addr, o := range of {
		if addr != self && now.Before(o.expires) {
			others = append(others, trackerPeer{addr: addr, seed: o.seed, peerID: string(o.peerID[:])})
		}
	}
	return others
}

func (t *Tracker) forget(h Hash, addr netip.AddrPort) {
	if _, ok := t.known[h][addr]; !ok {
		return
	}
	delete(t.known[h], addr)
	t.count--
	if len(t.known[h]) == 0 {
		delete(t.known, h)
	}
}

func (t *Tracker) expire(now time.Time) {
	for h, of := range t.known {
		for addr, o := range of {
			if !now.Before(o.expires) {
				t.forget(h, addr)
			}
		}
	}
}

// choose returns at most as many peers as were asked for, never the asker, each address once: seeds first for one that
// still wants something, and only others for a seed. Who is told of whom is a matter of hashing: standard clients want
// dozens of peers and ask once a minute, so that they need no graph.
func choose(a announce, self netip.AddrPort, peers []trackerPeer) []trackerPeer {
	if a.event == "stopped" {
		return nil
	}
	asker := hashOf(self)
	seen := map[netip.AddrPort]bool{self: true}
	peers = slices.DeleteFunc(peers, func(p trackerPeer) bool {
		drop := seen[p.addr] || a.left == 0 && p.seed
		seen[p.addr] = true
		return drop
	})
	for i := range peers {
		peers[i].rank = mix(asker ^ mix(hashOf(peers[i].addr)))
	}
	slices.SortFunc(peers, func(x, y trackerPeer) int {
		if x.seed != y.seed {
			if x.seed {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(y.rank, x.rank), x.addr.Compare(y.addr))
	})
	return peers[:min(len(peers), a.numWant)]
}

func (t *Tracker) encode(a announce, peers []trackerPeer, seeds, leeches int) []byte {
	var b bytes.Buffer
	seconds := max(1, int(t.interval/time.Second))
	fmt.Fprintf(&b, "d8:completei%de10:incompletei%de8:intervali%de12:min intervali%de5:peers", seeds, leeches, seconds, max(1, seconds/2))
	if a.compact {
		fmt.Fprintf(&b, "%d:", 6*len(peers))
		for _, p := range peers {
			ip := p.addr.Addr().As4()
			b.Write(ip[:])
			b.Write([]byte{byte(p.addr.Port() >> 8), byte(p.addr.Port())})
		}
	} else {
		b.WriteByte('l')
		for _, p := range peers {
			b.WriteString("d2:ip" + bencoded(p.addr.Addr().String()))
			if p.peerID != "" && !a.noPeerIDs {
				b.WriteString("7:peer id" + bencoded(p.peerID))
			}
			fmt.Fprintf(&b, "4:porti%dee", p.addr.Port())
		}
		b.WriteByte('e')
	}
	b.WriteByte('e')
	return b.Bytes()
}

// hashOf is the same on every machine.
func hashOf(a netip.AddrPort) uint64 {
	h := fnv.New64a()
	h.Write(a.AppendTo(nil))
	return h.Sum64()
}

// mix is the finalizer of splitmix64: it spreads a change of any bit over all bits.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
