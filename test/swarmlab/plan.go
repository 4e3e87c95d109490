package swarmlab

import (
	"fmt"
	"time"
)

// A System is a way of giving an image to many nodes.
type System string

// The systems.
const (
	Ours  System = "samara"
	Stock System = "stock" // BitTorrent as the library has it
	HTTP  System = "http"  // one server, one GET per node
)

// A Plan is one run: who gives what to how many, over which links, and what happens on the way.
type Plan struct {
	System   System
	Scenario string // its name
	Layout
	Size    int64         // of the image, in bytes
	Stagger time.Duration // between the beginnings of two nodes; 0 is all at once
	Late    int           // of the nodes, the last so many begin when the first of the others has the image
	Faults  []Fault
}

// A Fault happens once nodes hold a share of the image.
type Fault struct {
	At     float64 // mean of what nodes hold, as a share of the image
	Action Action
	Count  int // of those it happens to
}

// String names the plan for people.
func (p Plan) String() string { return fmt.Sprintf("%s, %d nodes, %s", p.System, p.Nodes, p.Scenario) }

// Limit returns the least time in which any system could give an image of size bytes to all nodes, of which the last
// began that long after the first: the fluid limit of the links, at their full rate, headers of packets not deducted.
// An origin sends each byte at least once, every node receives all, what is received is sent by somebody, and all that
// a rack receives beyond what its nodes send comes by its uplink.
func (p Plan) Limit(size int64, last time.Duration) time.Duration {
	image, link, up := float64(size), float64(p.Link), float64(p.Uplink)
	origins, nodes := float64(p.Heads)*link, float64(p.Nodes)
	bound := max(image/origins, last.Seconds()+image/link)
	if p.System == HTTP {
		bound = max(bound, nodes*image/origins)
	} else {
		bound = max(bound, nodes*image/(origins+nodes*link))
	}
	if p.Uplink > 0 {
		rack := float64((p.Nodes + p.Racks - 1) / p.Racks)
		bound = max(bound, image/up, rack*image/(up+rack*link))
	}
	return time.Duration(bound * float64(time.Second))
}
