package controller

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// A show is a cluster with nodes n1 (10.0.0.9) to n9 (10.0.0.17) that are to boot debian:1, of 4 bytes, and the time.
type show struct {
	*swarms
	root fleet.Digest
	now  time.Time
}

func newShow(t *testing.T) *show {
	t.Helper()
	_, state, blobs := initialised(t)
	for i := 2; i <= 9; i++ {
		state = changed(t, state, &fleet.AddNodes{Nodes: []fleet.Node{ofRack(fmt.Sprint("n", i), fmt.Sprint("r", i%2), fmt.Sprint("10.0.0.", 8+i))}})
	}
	_, v, err := state.ImageVersion(fleet.ImageRef{Name: "debian"})
	must(t, err)
	s := &show{root: v.Root.Digest, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	addresses := &roster{state: func() fleet.State { return state }, now: func() time.Time { return s.now }}
	sources := testSources(nil)
	sources.isNode = func(a netip.Addr) bool { return addresses.nodeOf(a) != "" }
	s.swarms = &swarms{state: addresses.state, blobs: blobs, peers: newPeerTable(sources), nodeOf: addresses.nodeOf, now: addresses.now,
		origins: func(d fleet.Digest) []api.SwarmController {
			return []api.SwarmController{{ID: "head1", Alive: true, Offers: d == s.root, Sent: 3, Copied: 4}, {ID: "head2", Sent: 3, Copied: 1}}
		}}
	return s
}

// tell has node i report so many bytes of the image, and adjusts what it says.
func (s *show) tell(i int, have int64, adjust ...func(*fleet.SwarmReport)) {
	r := report(s.root, have, have == 4)
	r.Swarm.Peers = 5
	for _, a := range adjust {
		a(&r.Swarm)
	}
	s.peers.report(fmt.Sprint("n", i), fmt.Sprint("r", i%2), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(8 + i)}), 7602), r, s.now)
}

func (s *show) view(t *testing.T) api.SwarmView {
	t.Helper()
	v, err := s.Swarm(t.Context(), fleet.ImageRef{Name: "debian"})
	must(t, err)
	return v
}

func TestTheViewOfASwarmCountsNodes(t *testing.T) {
	s := newShow(t)
	v := s.view(t)
	if v.Image.Version != 1 || v.Size != 4 || v.Nodes != (api.SwarmNodes{Total: 9, Silent: 9}) || v.Sent != 6 || v.Copied != 5 || v.Ratio != 1.5 || v.ETA != 0 {
		t.Errorf("before anybody reported: %+v", v)
	}
	for i := 2; i <= 4; i++ {
		s.tell(i, 0)
	}
	s.now = s.now.Add(2 * time.Second)
	s.tell(2, 2)
	s.tell(3, 2)
	s.tell(4, 4, func(r *fleet.SwarmReport) { r.Paused = "a job runs" })
	s.tell(5, 4, func(r *fleet.SwarmReport) { r.Blob = otherImage })
	s.tell(6, 4, func(r *fleet.SwarmReport) { r.Paused, r.Ended = "reseed is never", true })
	s.tell(99, 4) // runs it, though the state does not say so
	v = s.view(t)
	if want := (api.SwarmNodes{Total: 10, Complete: 3, Fetching: 2, Silent: 4, Paused: 1, Ended: 1}); v.Nodes != want {
		t.Errorf("got %+v, want %+v", v.Nodes, want)
	}
	if v.Rate != 2 || v.ETA != 2*time.Second {
		t.Errorf("two nodes that lack 2 bytes of 4 each and gain one per second: rate %d, %s left", v.Rate, v.ETA)
	}
	want := []api.SwarmRack{{Name: "", Nodes: 1}, {Name: "r0", Nodes: 4, Complete: 2, Have: 2.5 / 4}, {Name: "r1", Nodes: 5, Complete: 1, Have: 1.5 / 5}}
	if fmt.Sprint(v.Racks) != fmt.Sprint(want) {
		t.Errorf("got racks %+v, want %+v", v.Racks, want)
	}
	if _, err := s.Swarm(t.Context(), fleet.ImageRef{Name: "debian", Version: 7}); err == nil {
		t.Error("a version that does not exist has a view")
	}
}

func TestAViewOfASwarmNamesStragglers(t *testing.T) {
	s := newShow(t)
	for i := 2; i <= 9; i++ {
		s.tell(i, 0)
	}
	s.now = s.now.Add(5 * time.Second)
	for i := 2; i <= 7; i++ {
		s.tell(i, 1)
	}
	s.now = s.now.Add(5 * time.Second)
	s.tell(2, 3)
	s.tell(3, 3)
	s.tell(4, 3)
	s.tell(5, 3)
	s.tell(6, 1)
	s.tell(7, 1, func(r *fleet.SwarmReport) { r.Peers = 0 })
	s.tell(8, 0)
	why := map[string]string{}
	for _, g := range s.view(t).Stragglers {
		why[g.Node] = g.Reason
	}
	want := map[string]string{"n7": "no peers", "n9": "silent for 10s", "n8": "slower than half of the others"}
	if fmt.Sprint(why) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", why, want)
	}
	s.now = s.now.Add(2 * time.Second)
	s.tell(8, 0)
	if g := s.view(t).Stragglers; g[0].Node != "n8" || g[0].Reason != "no verified byte for 12s" || g[0].Rack != "r0" {
		t.Errorf("got %+v, want n8 first, without a byte for 12 s", g[0])
	}
}

func TestAViewOfASwarmNamesSuspects(t *testing.T) {
	s := newShow(t)
	s.tell(2, 1, func(r *fleet.SwarmReport) {
		r.Complaints = []fleet.Complaint{
			{Peer: netip.MustParseAddr("10.0.0.12"), Fault: fleet.FaultCorrupt, Count: 2, Age: time.Second},
			{Peer: netip.MustParseAddr("10.9.9.9"), Fault: fleet.FaultStranger, Count: 3, Age: time.Second},
		}
	})
	s.tell(3, 1, func(r *fleet.SwarmReport) {
		r.Blob = otherImage
		r.Complaints = []fleet.Complaint{{Peer: netip.MustParseAddr("10.0.0.12"), Fault: fleet.FaultCorrupt, Count: 1}}
	})
	want := []api.Suspect{
		{Peer: netip.MustParseAddr("10.9.9.9"), Fault: fleet.FaultStranger, Count: 3, Complainers: 1, Last: s.now.Add(-time.Second), Avoided: true},
		{Node: "n4", Peer: netip.MustParseAddr("10.0.0.12"), Fault: fleet.FaultCorrupt, Count: 2, Complainers: 1, Last: s.now.Add(-time.Second), Avoided: true},
	}
	if got := s.view(t).Suspects; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	want[1].Count, want[1].Complainers, want[1].Last = 3, 2, s.now
	if got := s.Suspects(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("of all images: got %+v, want %+v", got, want)
	}
}
