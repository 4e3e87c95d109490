package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/seeder"
)

// swarms shows people how images spread: from the nodes' reports, whoever they came to, and from what the controllers say
// of themselves. It implements api.Swarms.
type swarms struct {
	state   func() fleet.State
	blobs   *blob.Store
	peers   *peerTable
	nodeOf  func(netip.Addr) string                  // the node at an address, or ""
	origins func(fleet.Digest) []api.SwarmController // every controller as an origin of a root, by id; Ratio left out
	now     func() time.Time
}

// A standing is where one node is with an image.
type standing struct {
	node, rack string
	peer            // zero if the node has reported nothing about the image
	known      bool // it has
	whole      bool // it holds everything
	alive      bool
	elsewhere  bool // it is alive and about another image
}

// share returns how much of an image of so many bytes the node holds, from 0 to 1.
func (s standing) share(size int64) float64 {
	if s.whole || size <= 0 {
		return 1
	}
	return min(1, float64(max(0, s.swarm.Have))/float64(size))
}

// Swarm implements api.Swarms.
func (s *swarms) Swarm(_ context.Context, ref fleet.ImageRef) (api.SwarmView, error) {
	state, now := s.state(), s.now()
	img, version, err := state.ImageVersion(ref)
	if err != nil {
		return api.SwarmView{}, err
	}
	root := version.Root
	v := api.SwarmView{Image: fleet.ImageRef{Name: img.Name, Version: version.Number}, Size: root.Size, Pieces: s.pieces(version.Torrent)}
	nodes := s.peers.standings(root.Digest, assigned(state, img, version.Number), now)
	count(&v, nodes)
	v.Racks = inRacks(nodes, root.Size)
	v.Stragglers = behind(nodes, root.Size, now)
	v.Suspects = s.suspects(s.peers.verdictIn(root.Digest, now).charges, now)
	v.Controllers = s.origins(root.Digest)
	for i := range v.Controllers {
		c := &v.Controllers[i]
		if root.Size > 0 {
			c.Ratio = float64(c.Sent) / float64(root.Size)
		}
		v.Sent, v.Copied, v.Ratio = v.Sent+c.Sent, v.Copied+c.Copied, v.Ratio+c.Ratio
	}
	return v, nil
}

// Suspects implements api.Swarms.
func (s *swarms) Suspects() []api.Suspect {
	now := s.now()
	return s.suspects(s.peers.verdict(now).charges, now)
}

func (s *swarms) suspects(charges []charge, now time.Time) []api.Suspect {
	avoided := s.peers.verdict(now).avoided
	out := make([]api.Suspect, len(charges))
	for i, c := range charges {
		out[i] = api.Suspect{Node: s.nodeOf(c.peer), Peer: c.peer, Fault: c.fault, Count: c.count, Complainers: c.accusers, Last: c.last,
			Avoided: avoided[c.peer]}
	}
	slices.SortStableFunc(out, func(a, b api.Suspect) int { return cmp.Compare(a.Node, b.Node) })
	return out
}

// pieces returns how many pieces a torrent has, or 0 if this controller cannot say now.
func (s *swarms) pieces(torrent fleet.Blob) int {
	raw, err := readBlob(s.blobs, torrent)
	if err != nil {
		return 0
	}
	info, err := seeder.ParseInfo(raw)
	if err != nil {
		return 0
	}
	return info.Pieces()
}

// assigned returns the racks of the nodes that the state gives a version of an image, by name.
func assigned(state fleet.State, img fleet.Image, version int) map[string]string {
	racks := map[string]string{}
	for n := range state.ResolveAll() {
		if n.Image.Name == img.Name && cmp.Or(n.Image.Version, img.Latest().Number) == version {
			racks[n.Name] = n.Rack
		}
	}
	return racks
}

// standings returns where nodes are with a blob: those that are to have it, whose racks are given, and those that hold or
// fetch it anyhow.
func (t *peerTable) standings(d fleet.Digest, racks map[string]string, now time.Time) []standing {
	byName := make(map[string]standing, len(racks))
	for name, rack := range racks {
		byName[name] = standing{node: name, rack: rack}
	}
	heard := map[string]bool{}
	for _, h := range t.sources.gossip() {
		heard[h.name] = h.alive
		if h.alive && h.holds(d) {
			byName[h.name] = standing{node: h.name, rack: t.sources.rackOf(h.name), whole: true, alive: true}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range byName {
		if p, known := t.nodes[name]; known && p.swarm.Blob != d && p.alive(heard[name], now) {
			byName[name] = standing{node: name, rack: p.rack, elsewhere: true}
		}
	}
	for name := range t.swarms[d] {
		p := t.nodes[name]
		byName[name] = standing{node: name, rack: p.rack, peer: p, known: true, whole: p.swarm.Complete, alive: p.alive(heard[name], now)}
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b standing) int { return cmp.Compare(a.node, b.node) })
}

// count fills in how many nodes there are of each kind, how fast they receive, and for how long they will.
func count(v *api.SwarmView, nodes []standing) {
	v.Nodes.Total = len(nodes)
	var lacking int64
	var rate float64
	for _, n := range nodes {
		switch {
		case n.elsewhere:
		case !n.alive:
			v.Nodes.Silent++
		case n.whole:
			v.Nodes.Complete++
			switch {
			case n.swarm.Ended:
				v.Nodes.Ended++
			case n.swarm.Paused != "":
				v.Nodes.Paused++
			}
		default:
			v.Nodes.Fetching++
			lacking += max(0, v.Size-n.swarm.Have)
			rate += n.rate
		}
	}
	v.Rate = int64(rate)
	if v.Rate > 0 {
		v.ETA = time.Duration(float64(lacking) / rate * float64(time.Second)).Round(time.Second)
	}
}

// inRacks sums up nodes by rack.
func inRacks(nodes []standing, size int64) []api.SwarmRack {
	byName := map[string]*api.SwarmRack{}
	for _, n := range nodes {
		r := byName[n.rack]
		if r == nil {
			r = &api.SwarmRack{Name: n.rack}
			byName[n.rack] = r
		}
		r.Nodes++
		if n.whole {
			r.Complete++
		}
		if n.whole || n.known {
			r.Have += n.share(size)
		}
	}
	var out []api.SwarmRack
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		r := byName[name]
		r.Have /= float64(r.Nodes)
		out = append(out, *r)
	}
	return out
}

// Which nodes are stragglers.
const (
	maxStragglers = 100 // that are shown
	fewFetching   = 4   // nodes without which there is no pace to be behind
	lonelyAfter   = 4 * time.Second
)

// behind returns the nodes that are held up, and why: those that have the least first.
func behind(nodes []standing, size int64, now time.Time) []api.Straggler {
	pace := medianRate(nodes)
	out := []api.Straggler{}
	for _, n := range nodes {
		if !n.known || n.whole {
			continue
		}
		if why := heldUp(n, pace, now); why != "" {
			out = append(out, api.Straggler{Node: n.node, Rack: n.rack, Have: n.share(size), Rate: int64(n.rate), Reason: why})
		}
	}
	slices.SortStableFunc(out, func(a, b api.Straggler) int { return cmp.Compare(a.Have, b.Have) })
	return out[:min(len(out), maxStragglers)]
}

// medianRate returns the rate that half of the nodes which fetch reach, or 0 if too few of them do to tell.
func medianRate(nodes []standing) float64 {
	var rates []float64
	for _, n := range nodes {
		if n.known && n.alive && !n.whole {
			rates = append(rates, n.rate)
		}
	}
	if len(rates) < fewFetching {
		return 0
	}
	slices.Sort(rates)
	return rates[len(rates)/2]
}

// heldUp returns why an incomplete node is behind the others, or "". pace is the others' rate, 0 if there is none.
func heldUp(n standing, pace float64, now time.Time) string {
	stuck := now.Sub(n.progress)
	switch {
	case !n.alive:
		return "silent for " + seconds(now.Sub(n.seen))
	case stuck > starvingAfter && n.swarm.Peers == 0:
		return fmt.Sprintf("no verified byte for %s, and no peers", seconds(stuck))
	case stuck > starvingAfter:
		return "no verified byte for " + seconds(stuck)
	case stuck > lonelyAfter && n.swarm.Peers == 0:
		return "no peers"
	case n.rate < pace/2 && n.swarm.Paused != "":
		return "slower than half of the others; paused: " + n.swarm.Paused
	case n.rate < pace/2:
		return "slower than half of the others"
	}
	return ""
}

func seconds(d time.Duration) string { return d.Round(time.Second).String() }
