package simulate

import (
	"slices"
	"time"
)

// A Result says how a run went. Durations are simulated time in nanoseconds, sizes are bytes.
type Result struct {
	Nodes       int           `json:"nodes"`
	Size        int64         `json:"size"`
	PieceLength int64         `json:"piece_length"` // as simulated
	Coarse      int           `json:"coarse"`       // PieceLength is so many times the image's; more than 1 in large scenarios, and then Makespan a little too long
	Pieces      int           `json:"pieces"`
	Seed        uint64        `json:"seed"`
	Makespan    time.Duration `json:"makespan_ns"` // until the last live node was complete
	Limit       time.Duration `json:"limit_ns"`    // no protocol could be faster on these links
	Ratio       float64       `json:"ratio"`       // Makespan / Limit
	HTTP        time.Duration `json:"http_ns"`     // what the controllers alone would take, at full rate

	Completed  int      `json:"completed"`    // nodes
	Failed     int      `json:"failed"`       // nodes that failed before they were complete
	Completion Quantile `json:"completion"`   // of the nodes' times from their arrival until they were complete
	FirstByte  Quantile `json:"first_byte"`   // of their times from arrival until the first byte
	OriginSent []int64  `json:"origin_sent"`  // by each controller
	Origin     float64  `json:"origin_ratio"` // bytes that controllers sent / Size
	FromPeers  int64    `json:"from_peers"`   // bytes of use that nodes had from nodes
	FromOrigin int64    `json:"from_origin"`  // and from controllers
	Twice      int64    `json:"twice"`        // bytes that came to nodes that had them
	Dropped    int64    `json:"dropped"`      // bytes on their way when a connection ended, or the run
	Starving   int      `json:"starving"`     // times that an origin showed a piece again because it did not spread

	NodeUplink float64 `json:"node_uplink"`           // part of the nodes' uplinks that was used until the makespan
	RackUplink float64 `json:"rack_uplink,omitempty"` // the same of the busiest rack's, both ways taken apart
	CrossRack  float64 `json:"cross_rack"`            // part of the bytes between nodes that left a rack

	Curve  []Point `json:"curve"`
	Events int64   `json:"events"` // that were simulated

	sentByNodes int64
}

// A Quantile is some quantiles of a set of times.
type Quantile struct {
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	Last time.Duration `json:"last_ns"`
}

// A Point is how far a swarm was at a time.
type Point struct {
	At       time.Duration `json:"at_ns"`
	Done     float64       `json:"done"`     // part of all bytes that nodes are to get
	Complete int           `json:"complete"` // nodes
	Origin   int64         `json:"origin"`   // bytes sent by controllers
}

// tally is what a run counts.
type tally struct {
	events, pieces, watched int64
	complete, failed        int
	unfinished              int64 // pieces that failed nodes lack
	sent                    int64 // bytes that nodes sent
	fromPeers               int64 // of use
	twice, dropped, crossed int64
	points                  []Point
	step, next              int64 // of points
}

const maxPoints = 200 // of a curve

// sample adds a point to the curve when it is time. When there are too many, it drops every other one and goes on in longer steps.
func (w *swarm) sample() {
	t := &w.tally
	if w.now < t.next {
		return
	}
	if t.step == 0 {
		t.step = int64(10 * time.Millisecond)
	}
	if len(t.points) == maxPoints {
		for i := range maxPoints / 2 {
			t.points[i] = t.points[2*i]
		}
		t.points = t.points[:maxPoints/2]
		t.step *= 2
	}
	t.points = append(t.points, w.point())
	t.next = w.now + t.step
}

func (w *swarm) point() Point {
	p := w.progress()
	return Point{At: p.Now, Done: float64(p.Pieces) / float64(max(1, p.Total)), Complete: p.Complete, Origin: w.originSent()}
}

func (w *swarm) originSent() int64 {
	sent := int64(0)
	for i := range w.controllers {
		sent += w.controllers[i].sent
	}
	return sent
}

func (w *swarm) result() Result {
	r := Result{Coarse: int(w.PieceLength / w.ownPiece), Nodes: w.Nodes, Size: w.Size, PieceLength: w.PieceLength, Pieces: w.pieces, Seed: w.Seed,
		Completed: w.tally.complete, Failed: w.tally.failed, FromPeers: w.tally.fromPeers, Twice: w.tally.twice,
		Dropped: w.tally.dropped + w.underWay(), Events: w.tally.events, sentByNodes: w.tally.sent, Limit: w.bound(), HTTP: w.http()}
	var whole, first []time.Duration
	end := int64(0)
	for i := range w.nodes {
		n := &w.nodes[i]
		if n.completed == 0 {
			continue
		}
		end = max(end, n.completed)
		whole = append(whole, time.Duration(n.completed-n.arrived))
		first = append(first, time.Duration(n.first-n.arrived))
	}
	r.Makespan = time.Duration(end)
	r.Completion, r.FirstByte = quantiles(whole), quantiles(first)
	if r.Limit > 0 {
		r.Ratio = float64(r.Makespan) / float64(r.Limit)
	}
	for i := range w.controllers {
		c := &w.controllers[i]
		r.OriginSent = append(r.OriginSent, c.sent)
		r.FromOrigin += c.useful
		r.Starving += c.origin.Stats().Raised
	}
	r.Origin = float64(w.originSent()) / float64(w.Size)
	w.uses(&r, end)
	r.Curve = append(w.tally.points, w.point())
	return r
}

// underWay returns the bytes that are on their way, and those that controllers sent of fragments that are not whole.
func (w *swarm) underWay() int64 {
	n := int64(0)
	for i := range w.links {
		if l := &w.links[i]; l.peer >= 0 && l.state == busy {
			_, length := w.part(l.piece, l.part)
			n += length
		}
	}
	for i := range w.feeds {
		n += w.feeds[i].pending
		if w.feeds[i].busy && w.feeds[i].joined {
			n += w.feeds[i].queue[0].Length
		}
	}
	return n
}

func (w *swarm) uses(r *Result, end int64) {
	for i := range w.up {
		r.NodeUplink += w.up[i].use(end) / float64(w.Nodes)
	}
	for i := range w.rackUp {
		r.RackUplink = max(r.RackUplink, w.rackUp[i].use(end), w.rackDown[i].use(end))
	}
	if w.tally.sent > 0 {
		r.CrossRack = float64(w.tally.crossed) / float64(w.tally.sent)
	}
}

func quantiles(d []time.Duration) Quantile {
	if len(d) == 0 {
		return Quantile{}
	}
	slices.Sort(d)
	at := func(percent int) time.Duration { return d[(len(d)*percent+99)/100-1] }
	return Quantile{P50: at(50), P90: at(90), P99: at(99), Last: d[len(d)-1]}
}

// bound returns the least time in which the nodes that complete can be so (Kumar and Ross, 2006): the origin must send
// every byte once, the slowest node must receive the image after it came, each rack must let it in, and all that is
// received must be sent by somebody who is there. Processors do not count: they are not the network's.
func (w *swarm) bound() time.Duration {
	size := float64(w.Size) * (1 + w.Net.Overhead)
	origin := w.ControllerRate * float64(w.Controllers)
	least := w.firstArrival() + size/origin
	all, need := origin, 0.0
	for i := range w.nodes {
		n := &w.nodes[i]
		c := w.class(n.class)
		all += c.Up
		if n.completed > 0 {
			need += size
			least = max(least, float64(n.arrived)/1e9+size/c.Down)
		}
	}
	if w.RackUplink > 0 {
		least = max(least, w.firstArrival()+size/w.RackUplink)
	}
	return time.Duration(max(least, w.firstArrival()+need/all) * 1e9)
}

// firstArrival returns when the first node comes, in seconds.
func (w *swarm) firstArrival() float64 {
	first := w.Arrivals[0].At
	for _, a := range w.Arrivals {
		if a.Nodes > 0 {
			first = min(first, a.At)
		}
	}
	return first.Seconds()
}

// http returns how long the controllers would take to send the image to each node that completed.
func (w *swarm) http() time.Duration {
	size := float64(w.Size) * (1 + w.Net.Overhead)
	alone := size * float64(w.tally.complete) / (w.ControllerRate * float64(w.Controllers))
	return max(time.Duration((w.firstArrival()+alone)*1e9), w.bound())
}
