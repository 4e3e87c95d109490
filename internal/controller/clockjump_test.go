package controller

import (
	"fmt"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
)

// A clockJump is a controller that hears of n2 from another one. The clock of one of the two is set on the way: what they
// say to each other then differs by that, while the time that passes at each does not.
type clockJump struct {
	*swarms
	*learner
	now time.Time // with a monotonic reading, as in every process
	off time.Duration
	mac fleet.MAC
}

func newClockJump(t *testing.T) *clockJump {
	t.Helper()
	a, state, _ := newAgents(t)
	n, _ := state.Node("n2")
	c := &clockJump{now: time.Now(), mac: n.Interfaces[0].MAC}
	now := func() time.Time { return c.now }
	c.learner = &learner{state: a.state, journal: a.journal, spent: new(identity.SpentTokens), peers: a.peers, now: now}
	c.swarms = &swarms{state: a.state, blobs: a.blobs, peers: a.peers, nodeOf: a.roster.nodeOf, now: now,
		origins: func(fleet.Digest) []api.SwarmController { return nil }}
	return c
}

// hear has the other controller tell what n2 reported to it a second ago.
func (c *clockJump) hear(r fleet.SwarmReport) {
	theirs := c.now.Round(0).Add(c.off) // without the reading, as it comes over the network
	c.learn("head2", api.Observations{Time: theirs, Boots: []fleet.Boot{{ID: "b1", Node: "n2", MAC: c.mac, Swarm: r, Seen: theirs.Add(-time.Second),
		Phases: []fleet.PhaseEvent{{Phase: fleet.PhaseAgent, At: theirs.Add(-2 * time.Second)}}}}})
}

var clockJumps = [...]time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour, 3 * time.Second, -3 * time.Second}

func TestAClockThatIsSetDropsNoNode(t *testing.T) {
	for _, jump := range clockJumps {
		c := newClockJump(t)
		_, v, err := c.swarms.state().ImageVersion(fleet.ImageRef{Name: "debian"})
		must(t, err)
		for i := range 20 {
			if i == 10 {
				c.off = jump
			}
			c.now = c.now.Add(fetchInterval)
			c.hear(fleet.SwarmReport{Blob: v.Root.Digest, Have: int64(i), Peers: 3})
			p := c.swarms.peers.nodes["n2"]
			if age := c.now.Sub(p.seen); age != time.Second || p.swarm.Have != int64(i) || !p.alive(false, c.now) {
				t.Fatalf("a clock is set by %s: after report %d the node was heard of %s ago with %d bytes, alive %v", jump, i, age, p.swarm.Have, p.alive(false, c.now))
			}
			if i > 1 && (p.rate < 0.49 || p.rate > 0.51) {
				t.Fatalf("a clock is set by %s: after report %d the node gains %f bytes per second, want 0.5", jump, i, p.rate)
			}
			view, err := c.Swarm(t.Context(), fleet.ImageRef{Name: "debian"})
			must(t, err)
			if view.ETA < 0 || view.ETA > time.Minute {
				t.Fatalf("a clock is set by %s: it will take %s", jump, view.ETA)
			}
		}
		c.now = c.now.Add(fetchingTrust)
		if c.swarms.peers.nodes["n2"].alive(false, c.now) {
			t.Errorf("a clock was set by %s: a node that fell silent since is taken for alive", jump)
		}
	}
}

func TestAClockThatIsSetLeavesTheJournalRight(t *testing.T) {
	for _, jump := range clockJumps {
		c := newClockJump(t)
		for i := range 4 {
			if i == 2 {
				c.off = jump
			}
			c.now = c.now.Add(fetchInterval)
			c.hear(fleet.SwarmReport{Blob: theImage, Have: int64(i)})
			boots := c.journal.Boots("n2")
			if len(boots) != 1 || boots[0].Swarm.Have != int64(i) {
				t.Fatalf("a clock is set by %s: after report %d the journal has %+v", jump, i, boots)
			}
			if age := c.now.Sub(boots[0].Seen); age < 0 || age > 3*time.Second {
				t.Errorf("a clock is set by %s: after report %d the node was heard of %s ago", jump, i, age)
			}
			if first := boots[0].Phases[0]; c.now.Sub(first.At) > time.Minute {
				t.Errorf("a clock is set by %s: the boot began %s ago", jump, c.now.Sub(first.At))
			}
		}
	}
}

func TestSuspectsAreForgottenWhateverTheClock(t *testing.T) {
	for _, jump := range clockJumps {
		c := newClockJump(t)
		c.hear(fleet.SwarmReport{Blob: theImage, Have: 1, Peers: 9, Complaints: []fleet.Complaint{of(fleet.FaultStalled, node(5))}})
		c.off = jump
		c.now = c.now.Add(fleet.FaultStalled.Lasts() - 3*time.Second)
		if got := len(c.Suspects()); got != 1 {
			t.Errorf("a clock is set by %s: %d suspects within the minute, want 1", jump, got)
		}
		c.now = c.now.Add(3 * time.Second)
		if got := c.Suspects(); len(got) != 0 {
			t.Errorf("a clock is set by %s: after a minute there is %+v", jump, got)
		}
	}
}

// What is heard of from others keeps its age when the clock here is set: it has monotonic readings.
func TestWhatIsHeardKeepsItsAge(t *testing.T) {
	c := newClockJump(t)
	c.hear(fleet.SwarmReport{Blob: theImage, Have: 1})
	boot := c.journal.Boots("n2")[0]
	for what, at := range map[string]time.Time{
		"in the table of peers": c.swarms.peers.nodes["n2"].seen,
		"in the journal":        boot.Seen,
		"of a phase":            boot.Phases[0].At,
	} {
		if fmt.Sprint(at) == fmt.Sprint(at.Round(0)) {
			t.Errorf("a time %s has no monotonic reading: %s", what, at)
		}
	}
}

// A controller whose clock is wrong refuses tokens of others, with the reason, and agents go on to the next; a certificate
// lasts longer than that.
func TestAWrongClockRefusesTokensWithTheReason(t *testing.T) {
	a, state, _ := newAgents(t)
	cluster, _ := state.Cluster()
	n, _ := state.Node("n2")
	sealed, err := identity.SealToken(cluster.TokenKey, identity.BootToken{Node: "n2", MAC: n.Interfaces[0].MAC, BootID: "b1",
		Image: fleet.ImageRef{Name: "debian", Version: 1}, Expires: a.now().Add(identity.TokenLife)})
	must(t, err)
	right := a.now()
	for ahead, refused := range map[time.Duration]bool{-time.Hour: false, 0: false, 10 * time.Minute: false, time.Hour: true} {
		if _, err := identity.OpenToken(cluster.TokenKey, sealed, right.Add(ahead)); (err != nil) != refused {
			t.Errorf("a controller whose clock is %s ahead: %v", ahead, err)
		}
	}
}
