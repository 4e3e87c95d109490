package swarmlab

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/test/swarmlab/peer"
)

// honest is how many nodes are, of each swarm with rogues. Three rogues are the most that they can accuse: who complains of
// more than a third of its peers is not believed.
const honest = 8

// hostileLink passes the image in 16 seconds, in which everybody finds out about everybody: a peer is held to stall when
// it owes a block for five, so those whose image is whole much sooner would complain of nobody.
const hostileLink = testImage / 16

// TestRoguesAreNamedAndDoNoHarm has rogues, each of them a node that the controllers know, among honest nodes. All honest
// nodes get the image, and people are told which nodes were the rogues, and of which kind, and of no honest one that it is
// to be avoided. A server of files would send 8 images.
func TestRoguesAreNamedAndDoNoHarm(t *testing.T) {
	for name, tc := range map[string]struct {
		prefix string
		heads  int
		rogues []rogueCase
		most   float64 // images that the honest nodes may have from controllers
	}{
		"bad bytes": {"swl-bytes", 3, []rogueCase{
			{peer.FlipBits, fleet.FaultCorrupt, corrupts}, {peer.WrongLength, fleet.FaultProtocol, breaks}, {peer.NameStrangers, fleet.FaultProtocol, breaks},
		}, 3},
		"no bytes": {"swl-nothing", 1, []rogueCase{
			{peer.Withhold, fleet.FaultStalled, stalls}, {peer.Trickle, fleet.FaultStalled, stalls}, {peer.FalseHaves, fleet.FaultStalled, stalls},
		}, 3},
		"too much": {"swl-much", 1, []rogueCase{{peer.Flood, fleet.FaultFlood, floods}, {peer.Oversize, fleet.FaultProtocol, breaks}}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHall(t, tc.prefix, Layout{Heads: tc.heads, Nodes: honest + len(tc.rogues) + 1, Racks: 2, Link: hostileLink})
			s := h.infest(tc.rogues)
			h.begin(s.honest...)
			h.begin(s.stranger)
			s.watch()
			h.proved(s.honest...)
			s.checkStranger()
			var received, asked int64
			for _, p := range s.honest {
				e := p.Latest()
				received, asked = received+e.FromOrigin+e.FromControl, asked+e.FromControl
			}
			t.Logf("the honest nodes had %s from controllers, %s of that by request", share(received), share(asked))
			if float64(received) > tc.most*float64(s.Image.Root.Size) {
				t.Errorf("the honest nodes had %s from controllers, want at most %.1f", share(received), tc.most)
			}
		})
	}
}

// A rogueCase is a rogue and what it is to be told of.
type rogueCase struct {
	play  peer.Play
	fault fleet.PeerFault
	words string // of the fault, in the list of nodes
}

// A swarmOfAll has honest nodes, rogues that have begun, and a machine that no controller knows, the last of the site.
type swarmOfAll struct {
	*hall
	*Samara
	honest   []*Peer
	rogues   map[string]rogueCase // by node
	stranger *Peer
}

// infest forms a cluster of everybody but the stranger, and returns once the controllers take the rogues for peers.
func (h *hall) infest(cases []rogueCase) *swarmOfAll {
	h.t.Helper()
	last := len(h.Nodes) - 1
	all := h.every()[:last]
	s := &swarmOfAll{hall: h, Samara: h.form("c", h.Heads, all...), rogues: map[string]rogueCase{}}
	strange := netip.AddrPortFrom(h.Nodes[last].Address, fleet.DefaultPorts.Swarm)
	var rogues []*Peer
	for i, r := range cases { // far from each other
		n := all[(2*i+1)*len(all)/(2*len(cases))]
		c, err := s.Config(h.ctx, n)
		h.must(err)
		c.Role, c.Play, c.Blob, c.Others = peer.Rogue, r.play, s.Controllers[0].BlobPath(s.Image.Root), []netip.AddrPort{strange}
		p, err := h.crowd.Start(h.Nodes[n], c)
		h.must(err)
		rogues = append(rogues, p)
		s.rogues[p.Host.ID] = r
	}
	for _, n := range all {
		if _, is := s.rogues[h.Nodes[n].ID]; !is {
			s.honest = append(s.honest, h.start(s.Samara, n)...)
		}
	}
	s.stranger = s.startStranger(last)
	h.must(h.crowd.WaitReady(h.ctx))
	h.must(h.Limit())
	h.begin(rogues...)
	h.must(h.crowd.Wait(h.ctx, "controllers to know the rogues", func() bool {
		return !slices.ContainsFunc(rogues, func(p *Peer) bool { return p.latest.Have == 0 })
	}))
	return s
}

// startStranger has a host stand ready that is no node, and that knows the torrent and where the honest are.
func (s *swarmOfAll) startStranger(at int) *Peer {
	s.t.Helper()
	c := peer.Config{Role: peer.Stranger, Image: s.Image.Root, Torrent: s.Controllers[0].BlobPath(s.Image.Torrent)}
	for _, p := range s.honest {
		c.Others = append(c.Others, netip.AddrPortFrom(p.Host.Address, fleet.DefaultPorts.Swarm))
	}
	for _, head := range s.Heads {
		c.Others = append(c.Others, netip.AddrPortFrom(head.Address, fleet.DefaultPorts.Swarm))
		c.Origins = append(c.Origins, netip.AddrPortFrom(head.Address, fleet.DefaultPorts.Boot))
	}
	p, err := s.crowd.Start(s.Nodes[at], c)
	s.must(err)
	return p
}

// checkStranger finds that the stranger called, was told nothing, and was called by nobody. One rogue names it to its
// peers and to trackers.
func (s *swarmOfAll) checkStranger() {
	s.t.Helper()
	e := s.stranger.Latest()
	if targets := int64(len(s.honest) + len(s.Controllers)); e.Calls < targets {
		s.t.Errorf("the stranger's calls were put through %d times, want at least %d", e.Calls, targets)
	}
	if e.Heard != 0 || e.Callers != 0 {
		s.t.Errorf("the stranger heard %d bytes and was called %d times, want neither", e.Heard, e.Callers)
	}
	passed, err := s.stranger.Host.Link.Traffic()
	s.must(err)
	s.t.Logf("the stranger called %d times, heard %d bytes, and received %d on the wire", e.Calls, e.Heard, passed.In)
	if bound := s.Image.Root.Size / 16; passed.In > bound {
		s.t.Errorf("%d bytes went to the stranger, want at most %d", passed.In, bound)
	}
}
