package controller

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// changed returns state after commands.
func changed(t testing.TB, state fleet.State, commands ...fleet.Command) fleet.State {
	t.Helper()
	for _, c := range commands {
		var err error
		if state, err = state.Apply(fleet.Entry{Command: c, At: time.Now()}, state.Revision()+1); err != nil {
			t.Fatal(err)
		}
	}
	return state
}

func ofRack(name, rack, ip string) fleet.Node {
	return fleet.Node{Name: name, Settings: fleet.Settings{Rack: rack, Image: fleet.ImageRef{Name: "debian"},
		Interfaces: []fleet.Interface{{Name: "default", MAC: fleet.MAC{2, 0, 0, 0, 9, netip.MustParseAddr(ip).As4()[3]}, IP: netip.MustParseAddr(ip)}}}}
}

func TestTheRosterIsNodesAndControllers(t *testing.T) {
	_, state, _ := initialised(t)
	state = changed(t, state, &fleet.AddNodes{Nodes: []fleet.Node{ofRack("n2", "r7", "10.0.0.10"), ofRack("n3", "", "10.0.0.20"), {Name: "bare"}}})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := &roster{state: func() fleet.State { return state }, now: func() time.Time { return now }}

	list := r.list()
	for a, want := range map[string]bool{
		"10.0.0.9": true, "10.0.0.10": true, "10.0.0.20": true, "127.0.0.1": true, "::ffff:10.0.0.9": true,
		"10.0.0.11": false, "10.0.0.8": false, "0.0.0.0": false, "127.0.0.2": false, "::1": false,
	} {
		addr := netip.MustParseAddr(a)
		if r.holds(addr) != want || list.Holds(addr) != want {
			t.Errorf("%s: held %t, on the list %t, want %t", a, r.holds(addr), list.Holds(addr), want)
		}
	}
	for a, want := range map[string]bool{"127.0.0.1": true, "::ffff:127.0.0.1": true, "10.0.0.9": false, "10.0.0.11": false} {
		if got := r.isController(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s is a controller's: got %t, want %t", a, got, want)
		}
	}
	if r.holds(netip.Addr{}) {
		t.Error("the roster holds no address at all")
	}
	at := netip.MustParseAddr("::ffff:10.0.0.10")
	if r.nodeOf(at) != "n2" || r.rackOf(at) != "r7" || r.rackOfNode("n2") != "r7" || r.nodeOf(netip.MustParseAddr("127.0.0.1")) != "" {
		t.Errorf("10.0.0.10 is of node %q in rack %q", r.nodeOf(at), r.rackOf(at))
	}
}

func TestTheRosterIsMadeAnewAFewTimesPerSecond(t *testing.T) {
	_, state, _ := initialised(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := &roster{state: func() fleet.State { return state }, now: func() time.Time { return now }}
	first := r.list()
	state = changed(t, state, &fleet.AddNodes{Nodes: []fleet.Node{ofRack("n2", "", "10.0.0.30")}})
	if r.list().ID != first.ID {
		t.Error("the roster was made anew at once")
	}
	if now = now.Add(rosterEvery); r.list().ID == first.ID {
		t.Error("the roster was not made anew after a while")
	}
	later := r.list()
	now = now.Add(-time.Hour) // the clock was set
	state = changed(t, state, &fleet.DeleteNodes{Names: []string{"n2"}})
	if got := r.list(); got.ID != first.ID || got.ID == later.ID {
		t.Error("the roster does not follow once the clock was set back")
	}
}

// siteOf returns a state with one controller and that many nodes, every second address of which is missing.
func siteOf(t testing.TB, count int) fleet.State {
	key := make([]byte, 32)
	cluster := fleet.Cluster{Name: "c1", ID: "0123", CA: []byte("ca"), CAKey: []byte("key"), MeshKey: key, TokenKey: key, IDKey: key,
		Controllers: []fleet.Controller{{ID: "head1", Address: netip.MustParseAddr("10.0.0.1"), Ports: fleet.DefaultPorts}}}
	nodes := make([]fleet.Node, count)
	for i := range nodes {
		nodes[i] = fleet.Node{Name: fmt.Sprintf("n%05d", i), Settings: fleet.Settings{Interfaces: []fleet.Interface{{Name: "default",
			MAC: fleet.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}, IP: netip.AddrFrom4([4]byte{10, 1, byte(1 + i/127), byte(2*(i%127) + 1)})}}}}
	}
	return changed(t, fleet.State{}, &fleet.InitCluster{Cluster: cluster, Networks: []fleet.Network{{Name: "boot", Subnet: netip.MustParsePrefix("10.0.0.0/8"), DHCP: fleet.DHCPFull}}},
		&fleet.AddNodes{Nodes: nodes})
}

// BenchmarkRoster makes the roster of 10,000 nodes, and says what it adds to a manifest.
func BenchmarkRoster(b *testing.B) {
	state := siteOf(b, 10_000)
	for b.Loop() {
		rosterOf(state)
	}
	raw, err := json.Marshal(rosterOf(state))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(raw)), "bytes")
}
