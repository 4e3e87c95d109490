package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// swarm sets how the swarms of a script are: swarm done, swarm busy, swarm sick.
func swarm(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: swarm done|busy|sick")
	}
	v, ok := map[string]api.SwarmView{"done": doneSwarm(), "busy": busySwarm(), "sick": sickSwarm()}[args[0]]
	if !ok {
		ts.Fatalf("no swarm %q", args[0])
	}
	m := ts.Value(memoryKey{}).(*memory)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.swarm = v
}

func (m *memory) Swarm(_ context.Context, ref fleet.ImageRef) (api.SwarmView, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.swarm
	v.Image = ref
	return v, nil
}

func (m *memory) Suspects() []api.Suspect {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.swarm.Suspects
}

func doneSwarm() api.SwarmView {
	return api.SwarmView{
		Image: fleet.ImageRef{Name: "debian", Version: 3}, Size: 1.2e9, Pieces: 1200, Nodes: api.SwarmNodes{Total: 312, Complete: 312}, Sent: 1.236e9, Ratio: 1.03,
		Controllers: []api.SwarmController{{ID: "head1", Alive: true, Offers: true, Sent: 1.236e9, Ratio: 1.03}},
		Racks:       []api.SwarmRack{{Name: "r1", Nodes: 312, Complete: 312, Have: 1}},
	}
}

// busySwarm is one of 21 racks of 10 nodes: r1 to r5 hold the image, r6 to r19 a part of it, r20 and r21 nothing.
func busySwarm() api.SwarmView {
	v := doneSwarm()
	v.Nodes = api.SwarmNodes{Total: 210, Complete: 50, Fetching: 140, Silent: 20, Paused: 2}
	v.Rate, v.ETA = 1.4e9, 90*time.Second
	v.Racks = nil
	for i := 1; i <= 21; i++ {
		r := api.SwarmRack{Name: fmt.Sprintf("r%02d", i), Nodes: 10}
		switch {
		case i <= 5:
			r.Complete, r.Have = 10, 1
		case i < 20:
			r.Have = 0.05 * float64(i-5)
		}
		v.Racks = append(v.Racks, r)
	}
	v.Controllers = []api.SwarmController{
		{ID: "head1", Alive: true, Offers: true, Peers: 64, Sent: 600e6, Copied: 1.2e9, Ratio: 0.5, Rate: 24e6, Unsent: 12},
		{ID: "head2", Alive: true, Unsent: 1200},
		{ID: "head3", Sent: 636e6, Ratio: 0.53},
	}
	return v
}

func sickSwarm() api.SwarmView {
	v := doneSwarm()
	v.Nodes = api.SwarmNodes{Total: 312, Complete: 311, Fetching: 1}
	v.Racks = []api.SwarmRack{{Nodes: 2, Complete: 2, Have: 1}, {Name: "r1", Nodes: 310, Complete: 309, Have: 0.999}}
	v.Stragglers = []api.Straggler{{Node: "n9", Rack: "r1", Have: 0.997, Rate: 120e3, Reason: "its link is slow"}}
	at := testNow.Add(-time.Minute)
	v.Suspects = []api.Suspect{
		{Node: "n7", Peer: netip.MustParseAddr("10.1.0.7"), Fault: fleet.FaultCorrupt, Count: 12, Complainers: 4, Last: at, Avoided: true},
		{Peer: netip.MustParseAddr("10.9.9.9"), Fault: fleet.FaultStranger, Count: 1, Complainers: 1, Last: at},
	}
	return v
}
