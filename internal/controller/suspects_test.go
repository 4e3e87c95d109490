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

// dawn is when a court opens.
var dawn = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newCourt() *court {
	sources := testSources(nil)
	sources.isNode = func(a netip.Addr) bool { return netip.MustParsePrefix("10.1.0.0/24").Contains(a) }
	c := &court{peerTable: newPeerTable(sources), now: dawn}
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
			c.now = c.now.Add(fleet.FaultCorrupt.Lasts())
		}, nil},
		"a minute has passed": {func(c *court) {
			c.complain(1, of(fleet.FaultStalled, node(5)))
			c.complain(2, of(fleet.FaultStalled, node(5)))
			c.now = c.now.Add(fleet.FaultStalled.Lasts() - time.Second)
		}, nil},
		"one was sent wrong bytes by one, and finds all others slow": {func(c *court) {
			all := []fleet.Complaint{of(fleet.FaultCorrupt, node(5))}
			for i := range 10 {
				all = append(all, of(fleet.FaultStalled, node(i)))
			}
			c.complain(1, all...)
			c.complain(2, of(fleet.FaultStalled, node(6)))
		}, []int{5}},
		"one was sent wrong bytes by all others, one after the other": {func(c *court) {
			for i := 2; i < 10; i++ {
				c.complain(1, of(fleet.FaultCorrupt, node(i)))
			}
		}, nil},
	} {
		court := newCourt()
		c.tell(court)
		if got := court.avoids(); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v are avoided, want %v", what, got, c.want)
		}
	}
}

// Whoever sent wrong bytes is named for an hour, whatever becomes of those who say so, and if it is booted anew.
func TestWrongBytesAreHeldAgainstAPeerForAnHour(t *testing.T) {
	for what, then := range map[string]func(*court){
		"it is said again, with its age": func(c *court) {
			c.complain(1, fleet.Complaint{Peer: node(5), Fault: fleet.FaultCorrupt, Count: 3, Age: c.now.Sub(dawn)})
		},
		"it is booted anew":                func(c *court) { c.boots(5) },
		"all are booted anew":              func(c *court) { c.boots(0, 1, 2, 3, 4, 5, 6, 7, 8, 9) },
		"who says so is switched off":      func(c *court) { c.boots(0, 2, 3, 4, 5, 6, 7, 8, 9) },
		"many lesser complaints push it":   func(c *court) { c.complain(1, strangers(2*fleet.MaxComplaints)...) },
		"lesser complaints follow, spread": func(c *court) { c.complain(1, strangers(4)...); c.complain(1, strangers(fleet.MaxComplaints)...) },
	} {
		c := newCourt()
		c.complain(1, fleet.Complaint{Peer: node(5), Fault: fleet.FaultCorrupt, Count: 3}, of(fleet.FaultStalled, node(5)))
		for c.now.Sub(dawn) < 58*time.Minute {
			c.now = c.now.Add(time.Minute)
			then(c)
			if got := c.avoids(); fmt.Sprint(got) != "[5]" {
				t.Fatalf("%s: after %s %v are avoided, want node 5", what, c.now.Sub(dawn), got)
			}
			if n := len(c.grievances["n1"].against); n > fleet.MaxComplaints {
				t.Fatalf("%s: %d complaints of one node are kept, want at most %d", what, n, fleet.MaxComplaints)
			}
		}
		c.now = dawn.Add(fleet.FaultCorrupt.Lasts())
		c.boots(2)
		if got := c.verdict(c.now); len(got.avoided) != 0 || len(c.grievances) != 0 {
			t.Errorf("%s: after an hour %v are avoided, and %v is remembered", what, got.avoided, c.grievances)
		}
	}
}

// boots has nodes report as ones that have just begun.
func (c *court) boots(nodes ...int) {
	for _, i := range nodes {
		r := report(theImage, 0, false)
		r.BootID = fmt.Sprint("boot at ", c.now)
		c.report(fmt.Sprint("n", i), "r1", netip.AddrPortFrom(node(i), 7602), r, c.now)
	}
}

// strangers makes complaints of n addresses that are no node's.
func strangers(n int) []fleet.Complaint {
	all := make([]fleet.Complaint, n)
	for i := range all {
		all[i] = of(fleet.FaultStranger, netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}))
	}
	return all
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
