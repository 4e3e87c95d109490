package controller

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/internal/observe"
)

// newAgents returns what answers the agents of n1 and n2 (10.0.0.10 in rack r7), and the root of their image, which head1
// and head2 offer.
func newAgents(t *testing.T) (*agents, fleet.State, fleet.Digest) {
	t.Helper()
	_, state, blobs := initialised(t)
	limit := int64(1 << 20)
	state = changed(t, state, &fleet.AddNodes{Nodes: []fleet.Node{ofRack("n2", "r7", "10.0.0.10")}},
		&fleet.SetCluster{Seeding: &fleet.SetSeeding{NodeUpload: &limit}})
	_, v, err := state.ImageVersion(fleet.ImageRef{Name: "debian"})
	must(t, err)
	now := func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
	get := func() fleet.State { return state }
	addresses := &roster{state: get, now: now}
	return &agents{state: get, blobs: blobs, peers: newPeerTable(testSources(nil)), roster: addresses, now: now,
		journal: observe.New(func(m fleet.MAC) (string, bool) { n, ok := get().NodeByMAC(m); return n.Name, ok }, now),
		origins: func(d fleet.Digest) []fleet.Controller {
			if d != v.Root.Digest {
				return nil
			}
			return []fleet.Controller{
				{ID: "head1", Address: netip.MustParseAddr("10.0.0.1"), Ports: fleet.DefaultPorts},
				{ID: "head2", Address: netip.MustParseAddr("10.0.0.2"), Ports: fleet.DefaultPorts},
			}
		}}, state, v.Root.Digest
}

func TestAReportIsAnsweredWithWhatTheNodeLacks(t *testing.T) {
	a, state, root := newAgents(t)
	from := netip.MustParseAddrPort("[::ffff:10.0.0.10]:4000")
	first := report(root, 0, false)
	got, err := a.Report(t.Context(), "n2", from, first)
	must(t, err)
	if len(got.Origin) != 2 || len(got.Peers) != 0 || got.Interval != firstInterval || got.Seeding.NodeUpload != 1<<20 {
		t.Errorf("the first of a cold image: %+v, want both controllers", got)
	}
	if got.Roster == nil || !got.Roster.Holds(netip.MustParseAddr("10.0.0.9")) {
		t.Fatalf("one without a roster is told %v", got.Roster)
	}
	known := first
	known.Swarm.Roster = got.Roster.ID
	if got, err = a.Report(t.Context(), "n2", from, known); err != nil || got.Roster != nil || got.Interval != fetchInterval {
		t.Errorf("one with the roster is told %v, to ask again after %s, %v", got.Roster, got.Interval, err)
	}
	if got, err = a.Report(t.Context(), "n1", netip.MustParseAddrPort("10.0.0.9:4000"), first); err != nil || fmt.Sprint(got.Peers) != "[10.0.0.10:7602]" {
		t.Errorf("the second is told of %v, %v, want the first", got.Peers, err)
	}
	other := report(otherImage, 0, false)
	if got, err = a.Report(t.Context(), "n2", from, other); err != nil || len(got.Origin) != 0 {
		t.Errorf("of an image that no controller offers it may ask %v, %v", got.Origin, err)
	}
	if _, err = a.Report(t.Context(), "n9", from, first); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a node that is not there: got %v", err)
	}
	if n, _ := state.Node("n2"); a.peers.nodes["n2"].rack != n.Rack {
		t.Errorf("the node is taken to be in rack %q", a.peers.nodes["n2"].rack)
	}
}

func TestAReportFromAnotherAddressIsOfTheNodes(t *testing.T) {
	a, _, root := newAgents(t)
	_, err := a.Report(t.Context(), "n2", netip.MustParseAddrPort("192.168.7.7:4000"), report(root, 0, false))
	must(t, err)
	if got := a.peers.nodes["n2"].addr; got.String() != "10.0.0.10:7602" {
		t.Errorf("others are told of it at %s, want the address that they let in", got)
	}
}

func TestAReportHasABoundedNumberOfComplaints(t *testing.T) {
	a, _, root := newAgents(t)
	r := report(root, 0, false)
	r.Swarm.Complaints = make([]fleet.Complaint, 10*fleet.MaxComplaints)
	_, err := a.Report(t.Context(), "n2", netip.MustParseAddrPort("10.0.0.10:4000"), r)
	must(t, err)
	if n := len(a.journal.Boots("n2")[0].Swarm.Complaints); n > fleet.MaxComplaints {
		t.Errorf("%d complaints are kept and passed on, want at most %d", n, fleet.MaxComplaints)
	}
}

func TestControllersTakeTurnsInNodesAnswers(t *testing.T) {
	a, state, root := newAgents(t)
	first := map[netip.AddrPort]int{}
	for i := range 64 {
		n := ofRack(fmt.Sprint("m", i), "", fmt.Sprint("10.0.0.", 100+i))
		state = changed(t, state, &fleet.AddNodes{Nodes: []fleet.Node{n}})
		a.state = func() fleet.State { return state }
		got, err := a.Report(t.Context(), n.Name, netip.AddrPortFrom(n.Interfaces[0].IP, 4000), report(root, 0, false))
		must(t, err)
		if len(got.Origin) != 2 {
			t.Fatalf("%s is told of %v", n.Name, got.Origin)
		}
		first[got.Origin[0]]++
	}
	for c, n := range first {
		if n < 16 || n > 48 {
			t.Errorf("%s is the first for %d of 64 nodes", c, n)
		}
	}
}

func TestAManifestSaysWhoMayTakePartAndHow(t *testing.T) {
	a, state, _ := newAgents(t)
	cluster, _ := state.Cluster()
	n, _ := state.Node("n2")
	m, err := a.manifest(state, cluster, identity.BootToken{Node: "n2", MAC: n.Interfaces[0].MAC, Image: fleet.ImageRef{Name: "debian", Version: 1}}, a.now())
	must(t, err)
	if !m.Roster.Holds(netip.MustParseAddr("10.0.0.9")) || m.Roster.Holds(netip.MustParseAddr("10.0.0.11")) || m.Seeding.NodeUpload != 1<<20 {
		t.Errorf("got roster %v and seeding %+v", m.Roster, m.Seeding)
	}
}

// TestAnotherControllersClockDoesNotMakeItsNodesLookDead has a controller tell of a node whose clock is a minute behind.
func TestAnotherControllersClockDoesNotMakeItsNodesLookDead(t *testing.T) {
	a, state, root := newAgents(t)
	n, _ := state.Node("n2")
	l := &learner{state: a.state, journal: a.journal, spent: new(identity.SpentTokens), peers: a.peers, now: a.now}
	theirs := a.now().Add(-time.Minute)
	told := fleet.Boot{ID: "b1", Node: "n2", MAC: n.Interfaces[0].MAC, Swarm: report(root, 1, false).Swarm, Seen: theirs.Add(-time.Second)}
	l.learn("head2", api.Observations{Boots: []fleet.Boot{told}, Time: theirs})
	members := a.peers.members(root, a.now())
	if len(members) != 1 || !members[0].Alive || members[0].Rack != "r7" || !a.peers.nodes["n2"].seen.Equal(a.now().Add(-time.Second)) {
		t.Errorf("got %+v, heard of at %s, want it alive a second ago", members, a.peers.nodes["n2"].seen)
	}
}

func TestSomeNodesOfALargeClusterGossip(t *testing.T) {
	for nodes, want := range map[int][2]int{1: {1, 1}, meshSize: {meshSize, meshSize}, 5000: {meshSize * 3 / 4, meshSize * 5 / 4}} {
		state := siteOf(t, nodes)
		cluster, _ := state.Cluster()
		told := 0
		for n := range state.Nodes() {
			if len(meshKeyFor(state, cluster, n.Name)) > 0 {
				told++
			}
		}
		if told < want[0] || told > want[1] {
			t.Errorf("%d of %d nodes gossip, want %d to %d", told, nodes, want[0], want[1])
		}
	}
}

// TestAgentsAreToldWhatProfilesSay has a node of which its profile says everything.
func TestAgentsAreToldWhatProfilesSay(t *testing.T) {
	a, state, root := newAgents(t)
	mac, at := fleet.MAC{2, 0, 0, 0, 0, 0x50}, netip.MustParseAddr("10.0.0.50")
	state = changed(t, state, &fleet.SetFormat{Format: 4}, &fleet.Edit{Puts: []fleet.Object{
		{Profile: &fleet.Profile{Name: "fast", Settings: fleet.Settings{Image: fleet.ImageRef{Name: "debian"}, Rack: "r9", UploadLimit: 3 << 20, Init: "/opt/first", Reseed: "90m"}}},
		{Node: &fleet.Node{Name: "n5", Profiles: []string{"fast"}, Settings: fleet.Settings{Interfaces: []fleet.Interface{{Name: "default", MAC: mac, IP: at}}}}},
	}})
	a.state = func() fleet.State { return state }
	a.roster.state = a.state
	plan, err := state.Plan(mac)
	must(t, err)
	if plan.Image != "debian" {
		t.Errorf("it boots image %q", plan.Image)
	}
	cluster, _ := state.Cluster()
	m, err := a.manifest(state, cluster, identity.BootToken{Node: "n5", MAC: mac, Image: fleet.ImageRef{Name: "debian", Version: 1}}, a.now())
	must(t, err)
	if m.Rack != "r9" || m.Seeding.NodeUpload != 3<<20 || m.Init != "/opt/first" || m.Reseed != "90m" {
		t.Errorf("its manifest says rack %q, init %q, seeding %+v, reseed %q", m.Rack, m.Init, m.Seeding, m.Reseed)
	}
	answer, err := a.Report(t.Context(), "n5", netip.AddrPortFrom(at, 4000), report(root, 0, false))
	must(t, err)
	if answer.Seeding.NodeUpload != 3<<20 || answer.Reseed != "90m" || a.peers.nodes["n5"].rack != "r9" {
		t.Errorf("its report is answered with seeding %+v, reseed %q, it is in rack %q", answer.Seeding, answer.Reseed, a.peers.nodes["n5"].rack)
	}
	if at, byName := a.roster.rackOf(at), a.roster.rackOfNode("n5"); at != "r9" || byName != "r9" {
		t.Errorf("it is in racks %q and %q", at, byName)
	}
	img, _ := state.Image("debian")
	if racks := assigned(state, img, 1); racks["n5"] != "r9" {
		t.Errorf("the image's nodes are %v", racks)
	}
}
