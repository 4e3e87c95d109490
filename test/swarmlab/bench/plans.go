package main

import (
	"time"

	"github.com/samara-hpc/samara/test/swarmlab"
)

// atOnce is the scenario of the comparison.
const atOnce = "at once"

// sizes are the numbers of nodes, and for each the time in which one link passes the image. More nodes have slower links,
// so that two processors can do the work of all of them: a node costs about three seconds of one, whatever the rate.
var sizes = []struct {
	nodes, racks int
	pass         time.Duration
}{
	{8, 2, 20 * time.Second},
	{16, 2, 40 * time.Second},
	{32, 4, 75 * time.Second},
	{64, 4, 150 * time.Second},
}

// planOf returns the plan in which all of sizes[i] begin at once.
func planOf(s swarmlab.System, i int, image int64, pace float64) swarmlab.Plan {
	link := int64(pace * float64(image) / sizes[i].pass.Seconds())
	return swarmlab.Plan{System: s, Scenario: atOnce, Size: image,
		Layout: swarmlab.Layout{Heads: 1, Nodes: sizes[i].nodes, Racks: sizes[i].racks, Link: link}}
}

// plans returns all runs.
func plans(image int64, pace float64) []swarmlab.Plan {
	var list []swarmlab.Plan
	for i := range sizes {
		list = append(list, planOf(swarmlab.Ours, i, image, pace), planOf(swarmlab.Stock, i, image, pace))
	}
	list = append(list, planOf(swarmlab.HTTP, 0, image, pace))
	const sixteen, thirtyTwo = 1, 2
	for _, v := range []struct {
		name   string
		i      int
		stock  bool // too
		change func(*swarmlab.Plan)
	}{
		{"0.5 s apart", sixteen, true, func(p *swarmlab.Plan) { p.Stagger = 500 * time.Millisecond }},
		{"half of them late", sixteen, false, func(p *swarmlab.Plan) { p.Late = p.Nodes / 2 }},
		{"2 killed", sixteen, true, func(p *swarmlab.Plan) { p.Faults = []swarmlab.Fault{{At: 0.3, Action: swarmlab.Kill, Count: 2}} }},
		{"2 frozen", sixteen, false, func(p *swarmlab.Plan) { p.Faults = []swarmlab.Fault{{At: 0.3, Action: swarmlab.Freeze, Count: 2}} }},
		{"1 of 3 controllers killed", sixteen, false, func(p *swarmlab.Plan) {
			p.Heads = 3
			p.Faults = []swarmlab.Fault{{At: 0.4, Action: swarmlab.KillHead, Count: 1}}
		}},
		{"uplinks 4:1", thirtyTwo, false, func(p *swarmlab.Plan) { p.Uplink = p.Link * int64(p.Nodes/p.Racks) / 4 }},
	} {
		for _, s := range []swarmlab.System{swarmlab.Ours, swarmlab.Stock} {
			if s == swarmlab.Stock && !v.stock {
				continue
			}
			p := planOf(s, v.i, image, pace)
			p.Scenario = v.name
			v.change(&p)
			list = append(list, p)
		}
	}
	return list
}

// computed returns what an ideal HTTP server takes, for all sizes.
func computed(image int64, pace float64) []swarmlab.Result {
	var list []swarmlab.Result
	for i := range sizes {
		list = append(list, planOf(swarmlab.HTTP, i, image, pace).Computed())
	}
	return list
}

// expected returns about how long a plan takes, to say when the end is near.
func expected(p swarmlab.Plan) time.Duration {
	times := map[swarmlab.System]float64{swarmlab.Ours: 1.2, swarmlab.Stock: 3, swarmlab.HTTP: 1.05}[p.System]
	run := time.Duration(times * float64(p.Limit(p.Size, time.Duration(p.Nodes)*p.Stagger)))
	if p.Late > 0 {
		run *= 2
	}
	return run + 5*time.Second + time.Duration(p.Nodes)*100*time.Millisecond
}
