package api

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// Swarms knows how images spread. Its methods are called from any goroutine; what they return is the caller's.
type Swarms interface {
	// Swarm returns how one image version spreads; ref names the version. It may ask other controllers, and answers from
	// what it has when ctx ends. The error is fleet.ErrNotFound if there is no such version.
	Swarm(ctx context.Context, ref fleet.ImageRef) (SwarmView, error)
	// Suspects returns the peers that others complain about, of all images, by node and address. It does not block.
	Suspects() []Suspect
}

// A SwarmView is how one image version spreads, as one controller knows it from nodes' reports and from the others.
type SwarmView struct {
	Image  fleet.ImageRef `json:"image"`
	Size   int64          `json:"size"`   // bytes
	Pieces int            `json:"pieces"` // of the torrent

	Nodes  SwarmNodes    `json:"nodes"`
	Sent   int64         `json:"sent"`             // bytes of payload that controllers sent to nodes since each of them started
	Copied int64         `json:"copied"`           // bytes of payload that controllers sent each other
	Ratio  float64       `json:"ratio"`            // Sent in images: 1 is each byte once
	Rate   int64         `json:"rate"`             // bytes per second that nodes receive now, all together
	ETA    time.Duration `json:"eta_ns,omitempty"` // until all that fetch have it, at that rate; 0 if none fetches, or nothing moves

	Controllers []SwarmController `json:"controllers"` // by id
	Racks       []SwarmRack       `json:"racks"`       // by name; "" is that of the nodes without one
	Stragglers  []Straggler       `json:"stragglers"`  // nodes that are far behind the others; the last one first
	Suspects    []Suspect         `json:"suspects"`    // peers that nodes of this swarm complain about, by node and address
}

// SwarmNodes counts the nodes that boot an image version: those that the state assigns it to, and those that run it still.
type SwarmNodes struct {
	Total    int `json:"total"`
	Complete int `json:"complete"` // hold all of it, verified
	Fetching int `json:"fetching"` // hold a part and were heard of lately
	Silent   int `json:"silent"`   // not heard of since this controller started, or not lately
	Paused   int `json:"paused"`   // of the complete ones, those that send nothing now
	Ended    int `json:"ended"`    // of the complete ones, those that send nothing any more, as their reseed has it
}

// A SwarmController is one controller as an origin of a swarm. It shows each piece once; see seeder/DESIGN.md.
type SwarmController struct {
	ID     string  `json:"id"`
	Alive  bool    `json:"alive"`
	Offers bool    `json:"offers"` // it holds the image and answers peers
	Peers  int     `json:"peers"`  // connected now
	Sent   int64   `json:"sent"`   // bytes of payload to nodes since it started
	Copied int64   `json:"copied"` // bytes of payload to other controllers
	Ratio  float64 `json:"ratio"`  // Sent in images
	Rate   int64   `json:"rate"`   // bytes per second now, to both
	Unsent int     `json:"unsent"` // pieces that it has never sent to anybody
}

// A SwarmRack is what the nodes of one rack hold of an image.
type SwarmRack struct {
	Name     string  `json:"name"`
	Nodes    int     `json:"nodes"`
	Complete int     `json:"complete"`
	Have     float64 `json:"have"` // of the image, 0 to 1, on average over the nodes
}

// A Straggler is a node that is far behind the others of its swarm.
type Straggler struct {
	Node   string  `json:"node"`
	Rack   string  `json:"rack,omitempty"`
	Have   float64 `json:"have"`   // of the image, 0 to 1
	Rate   int64   `json:"rate"`   // bytes per second now
	Reason string  `json:"reason"` // in words for people
}

// A Suspect is a peer that others complain about, and one of the things that they hold against it.
type Suspect struct {
	Node        string          `json:"node,omitempty"` // "" if no node has the address
	Peer        netip.Addr      `json:"peer"`
	Fault       fleet.PeerFault `json:"fault"`
	Count       int             `json:"count"`       // times, as all of them counted
	Complainers int             `json:"complainers"` // nodes and controllers that complain of it
	Last        time.Time       `json:"last"`        // the latest, by this controller's clock
	Avoided     bool            `json:"avoided"`     // controllers name the peer to nobody while there are others
}

func (s *Server) swarm(ctx context.Context, r *request, _ none) (SwarmView, error) {
	ref, err := fleet.ParseImageRef(r.PathValue("image"))
	if err != nil {
		return SwarmView{}, err
	}
	_, v, err := r.state.ImageVersion(ref)
	if err != nil {
		return SwarmView{}, err
	}
	if s.Swarms == nil {
		return SwarmView{}, errNotHere("view of swarms")
	}
	view, err := s.Swarms.Swarm(ctx, fleet.ImageRef{Name: ref.Name, Version: v.Number})
	if err != nil {
		return SwarmView{}, err
	}
	return view.filled(), nil
}

// filled returns v with empty lists for those that it lacks, so that JSON has lists for them.
func (v SwarmView) filled() SwarmView {
	v.Controllers = append([]SwarmController{}, v.Controllers...)
	v.Racks = append([]SwarmRack{}, v.Racks...)
	v.Stragglers = append([]Straggler{}, v.Stragglers...)
	v.Suspects = append([]Suspect{}, v.Suspects...)
	return v
}

// Swarm returns how an image version spreads; the latest if ref names none.
func (c *Client) Swarm(ctx context.Context, ref fleet.ImageRef) (SwarmView, error) {
	return read(ctx, c, getSwarm, ref.String())
}

// faults returns what others complain about, by node.
func (s *Server) faults() map[string][]Suspect {
	if s.Swarms == nil {
		return nil
	}
	by := map[string][]Suspect{}
	for _, f := range s.Swarms.Suspects() {
		if f.Node != "" {
			by[f.Node] = append(by[f.Node], f)
		}
	}
	return by
}

// What says what the peer does, in words for people that follow its name.
func (s Suspect) What() string {
	switch s.Fault {
	case fleet.FaultCorrupt:
		return "sends corrupt pieces"
	case fleet.FaultStalled:
		return "keeps peers waiting"
	case fleet.FaultProtocol:
		return "breaks the protocol"
	case fleet.FaultFlood:
		return "floods peers with calls"
	case fleet.FaultStranger:
		return "is no member of the cluster"
	}
	return "is said to be at fault: " + string(s.Fault)
}

// maxSuspectProblems bounds the problems that a status has of suspects.
const maxSuspectProblems = 8

// suspicions returns what is to be done about the peers that controllers name to nobody any more.
func (s *Server) suspicions() []Problem {
	if s.Swarms == nil {
		return nil
	}
	var all []Problem
	for _, f := range s.Swarms.Suspects() {
		if f.Avoided {
			all = append(all, f.problem())
		}
	}
	if more := len(all) - maxSuspectProblems; more > 0 {
		all = append(all[:maxSuspectProblems], Problem{
			What: fmt.Sprintf("%d more complaints about peers", more),
			Cure: "samara node list shows the nodes; if there are this many, look at what they have in common first: a switch, a kernel",
		})
	}
	return all
}

// problem returns what is wrong with a suspect, and the cure.
func (s Suspect) problem() Problem {
	who, say := s.Peer.String(), "says 1 peer"
	if s.Node != "" {
		who = fmt.Sprintf("node %s (%s)", s.Node, s.Peer)
	}
	if s.Complainers != 1 {
		say = fmt.Sprintf("say %d peers", s.Complainers)
	}
	p := Problem{What: fmt.Sprintf("%s %s, %s", who, s.What(), say)}
	switch {
	case s.Node == "":
		p.Cure = fmt.Sprintf("find the machine that has %s; no node asks it for anything", s.Peer)
	case s.Fault == fleet.FaultCorrupt:
		p.Cure = fmt.Sprintf("samara node show %s; power it off or replace its memory; its peers no longer ask it", s.Node)
	case s.Fault == fleet.FaultStalled:
		p.Cure = fmt.Sprintf("samara node show %s; look at its network link and its load; its peers no longer ask it", s.Node)
	default:
		p.Cure = fmt.Sprintf("samara node show %s; boot it again, and see what else runs on it; its peers no longer ask it", s.Node)
	}
	return p
}
