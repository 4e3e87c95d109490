package controller

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
)

// A court is a peerTable of ten nodes n0 to n9 at 10.1.0.100 and up that fetch one image, and the time.
type court struct {
	*peerTable
	now time.Time
}

func newCourt() *court {
	sources := testSources(nil)
	sources.isNode = func(a netip.Addr) bool { return netip.MustParsePrefix("10.1.0.0/24").Contains(a) }
	c := &court{peerTable: newPeerTable(sources), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for i := range 10 {
		c.complain(i)
	}
	return c
}

func node(i int) netip.Addr { return swarmPort(byte(100 + i)).Addr() }

// of makes a complaint that is a second old.
func of(f fleet.PeerFault, peer netip.Addr) fleet.Complaint {
	return fleet.Complaint{Peer: peer, Fault: f, Count: 1, Age: time.Second}
}

// complain has node i report, with those complaints.
func (c *court) complain(i int, complaints ...fleet.Complaint) {
	r := report(theImage, 1, false)
	r.Swarm.Peers, r.Swarm.Complaints = 9, complaints
	c.report(fmt.Sprint("n", i), "r1", netip.AddrPortFrom(node(i), 7602), r, c.now)
}

// avoids returns which nodes the next answers leave out.
func (c *court) avoids() []int {
	c.now = c.now.Add(2 * verdictStays)
	var out []int
	v := c.verdict(c.now)
	for i := range 10 {
		if v.avoided[node(i)] {
			out = append(out, i)
		}
	}
	return out
}

func TestWhoIsASuspect(t *testing.T) {
	for what, c := range map[string]struct {
		tell func(*court)
		want []int
	}{
		"nobody complains": {func(c *court) {}, nil},
		"one complains": {func(c *court) {
			c.complain(1, of(fleet.FaultStalled, node(5)))
		}, nil},
		"one complains of two things": {func(c *court) {
			c.complain(1, of(fleet.FaultStalled, node(5)), of(fleet.FaultProtocol, node(5)))
		}, nil},
		"one complains a thousand times": {func(c *court) {
			c.complain(1, fleet.Complaint{Peer: node(5), Fault: fleet.FaultStalled, Count: 1000})
		}, nil},
		"one complains again": {func(c *court) {
			c.complain(1, of(fleet.FaultStalled, node(5)))
			c.complain(1, of(fleet.FaultStalled, node(5)))
		}, nil},
		"two complain of different things": {func(c *court) {
			c.complain(1, of(fleet.FaultStalled, node(5)))
			c.complain(2, of(fleet.FaultProtocol, node(5)))
		}, []int{5}},
		"one was sent wrong bytes": {func(c *court) {
			c.complain(1, of(fleet.FaultCorrupt, node(5)))
		}, []int{5}},
		"one complains of itself": {func(c *court) {
			c.complain(1, of(fleet.FaultCorrupt, node(1)))
		}, nil},
		"one complains of three in nine": {func(c *court) {
			c.complain(1, of(fleet.FaultCorrupt, node(5)), of(fleet.FaultCorrupt, node(6)), of(fleet.FaultCorrupt, node(7)))
		}, []int{5, 6, 7}},
		"one complains of more than a third": {func(c *court) {
			c.complain(1, of(fleet.FaultCorrupt, node(5)), of(fleet.FaultCorrupt, node(6)), of(fleet.FaultCorrupt, node(7)), of(fleet.FaultCorrupt, node(8)))
		}, nil},
		"a liar says it has a thousand peers": {func(c *court) {
			r := report(theImage, 1, false)
			r.Swarm.Peers = 1000
			for i := range 9 {
				r.Swarm.Complaints = append(r.Swarm.Complaints, of(fleet.FaultCorrupt, node(i+1)))
			}
			c.report("n0", "r1", netip.AddrPortFrom(node(0), 7602), r, c.now)
		}, nil},
		"strangers do not make a complainer a liar": {func(c *court) {
			c.complain(1, of(fleet.FaultCorrupt, node(5)), of(fleet.FaultStranger, netip.MustParseAddr("10.9.0.1")),
				of(fleet.FaultStranger, netip.MustParseAddr("10.9.0.2")), of(fleet.FaultStranger, netip.MustParseAddr("10.9.0.3")))
		}, []int{5}},
		"complaints that say nothing": {func(c *court) {
			c.complain(1, of("ugly", node(5)), of(fleet.FaultCorrupt, netip.Addr{}))
			c.complain(2, of("ugly", node(5)))
		}, nil},
		"complaints beyond the bound": {func(c *court) {
			long := make([]fleet.Complaint, fleet.MaxComplaints)
			for i := range long {
				long[i] = of(fleet.FaultStranger, netip.MustParseAddr("10.9.0.1"))
			}
			c.complain(1, append(long, of(fleet.FaultCorrupt, node(5)))...)
		}, nil},
		"the controller and one node complain": {func(c *court) {
			c.sources.faults = func() []seeder.Fault {
				return []seeder.Fault{{Peer: node(5), Kind: fleet.FaultFlood, Count: 3, Last: c.now.Add(-time.Second)}}
			}
			c.complain(1, of(fleet.FaultStalled, node(5)))
		}, []int{5}},
		"the controller alone complains": {func(c *court) {
			c.sources.faults = func() []seeder.Fault {
				return []seeder.Fault{{Peer: node(5), Kind: fleet.FaultFlood, Count: 3, Last: c.now.Add(-time.Second)}}
			}
		}, nil},
		"an age from the future is now": {func(c *court) {
			c.complain(1, fleet.Complaint{Peer: node(5), Fault: fleet.FaultCorrupt, Age: -time.Hour})
			c.now = c.now.Add(suspectFor)
		}, nil},
		"a minute has passed": {func(c *court) {
			c.complain(1, of(fleet.FaultCorrupt, node(5)))
			c.now = c.now.Add(suspectFor - time.Second)
		}, nil},
	} {
		court := newCourt()
		c.tell(court)
		if got := court.avoids(); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v are avoided, want %v", what, got, c.want)
		}
	}
}

func TestInASmallSwarmOneAccuserSuffices(t *testing.T) {
	c := newCourt()
	for i := range 3 {
		r := report(otherImage, 1, false)
		if i == 0 {
			r.Swarm.Complaints = []fleet.Complaint{of(fleet.FaultStalled, node(1))}
		}
		c.report(fmt.Sprint("n", i), "r1", netip.AddrPortFrom(node(i), 7602), r, c.now)
	}
	if got := c.avoids(); fmt.Sprint(got) != "[1]" {
		t.Errorf("%v are avoided, want node 1", got)
	}
}

func TestSuspectsAreNamedToNobody(t *testing.T) {
	c := newCourt()
	c.complain(1, of(fleet.FaultCorrupt, node(5)))
	c.now = c.now.Add(2 * verdictStays)
	for i := range 10 {
		if i == 5 {
			continue
		}
		a, _ := c.answer(fmt.Sprint("n", i), report(theImage, 1, false), c.now)
		for _, p := range a.Peers {
			if p.Addr() == node(5) {
				t.Errorf("node %d is told of the suspect", i)
			}
		}
		if len(a.Peers) != 8 {
			t.Errorf("node %d is told of %d, want the other eight", i, len(a.Peers))
		}
	}
	if a, _ := c.answer("n5", report(theImage, 1, false), c.now); len(a.Peers) != 9 {
		t.Errorf("the suspect is told of %d, want all the others", len(a.Peers))
	}
}

// Who names three of nine peers is named six afterwards. What it holds against the three counts as before.
func TestSuspectsStaySuspectsOnceTheyAreNotNamed(t *testing.T) {
	c := newCourt()
	for range 5 {
		r := report(theImage, 1, false)
		r.Swarm.Complaints = []fleet.Complaint{of(fleet.FaultCorrupt, node(5)), of(fleet.FaultCorrupt, node(6)), of(fleet.FaultCorrupt, node(7))}
		c.report("n1", "r1", netip.AddrPortFrom(node(1), 7602), r, c.now)
		c.answer("n1", r, c.now)
		if got := c.avoids(); fmt.Sprint(got) != "[5 6 7]" {
			t.Errorf("%v are avoided, want 5, 6 and 7", got)
		}
	}
}

func TestChargesAreSummedByPeerAndFault(t *testing.T) {
	c := newCourt()
	c.complain(1, fleet.Complaint{Peer: node(5), Fault: fleet.FaultStalled, Count: 4, Age: 20 * time.Second})
	c.complain(2, fleet.Complaint{Peer: node(5), Fault: fleet.FaultStalled, Count: 1 << 40, Age: 10 * time.Second})
	v := c.verdict(c.now)
	if len(v.charges) != 1 {
		t.Fatalf("got %+v, want one charge", v.charges)
	}
	if got := v.charges[0]; got.accusers != 2 || got.count != maxFaultCount || !got.last.Equal(c.now.Add(-10*time.Second)) {
		t.Errorf("got %+v, want two accusers, a bounded count and the later time", got)
	}
}
