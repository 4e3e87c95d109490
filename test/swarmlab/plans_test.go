package swarmlab

import (
	"testing"
	"time"
)

// What tests give to nodes, and how fast: a link passes the image in three seconds.
const (
	testImage = 16 << 20
	testLink  = testImage / 3
)

// TestFaultMatrix carries out plans at small scale. Times are not asserted: the machine may be busy with other things.
// What origins sent is, as a ratio to the image. An origin that shows every piece once sends 1; the bounds leave room
// for pieces that are shown again because a node was slow, which this machine's other work can make it, or went away.
// A server of files sends 8, and a stock swarm of this size two to four.
func TestFaultMatrix(t *testing.T) {
	for name, tc := range map[string]struct {
		prefix string
		change func(*Plan)
		most   float64 // images that the origins may send
	}{
		"all at once":         {"swl-once", func(*Plan) {}, 1.5},
		"one after the other": {"swl-apart", func(p *Plan) { p.Stagger = 300 * time.Millisecond }, 1.75},
		"half of them late":   {"swl-late", func(p *Plan) { p.Late = 4 }, 1.75},
		"two are killed": {"swl-kill", func(p *Plan) {
			p.Faults = []Fault{{At: 0.3, Action: Kill, Count: 2}}
		}, 2},
		"two are frozen": {"swl-freeze", func(p *Plan) {
			p.Faults = []Fault{{At: 0.3, Action: Freeze, Count: 2}}
		}, 2},
		"one of three controllers is killed": {"swl-head", func(p *Plan) {
			p.Heads = 3
			p.Faults = []Fault{{At: 0.3, Action: KillHead, Count: 1}}
		}, 2},
		"narrow uplinks": {"swl-uplink", func(p *Plan) { p.Uplink = testLink }, 1.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Plan{System: Ours, Scenario: name, Size: testImage, Layout: Layout{Heads: 1, Nodes: 8, Racks: 2, Link: testLink}}
			tc.change(&p)
			lost := 0
			for _, f := range p.Faults {
				if f.Action != KillHead {
					lost += f.Count
				}
			}
			r, err := testTools(t, tc.prefix).Run(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%.1f s, the limit is %.1f s; origins sent %.2f images, %.2f on the wire, %.2f by request; %.2f into a rack; %.0f MiB; processors %.0f %%",
				r.Makespan, r.Limit, r.OriginRatio, r.WireRatio, r.ControlRatio, r.UplinkRatio, r.RSS, 100*r.CPUShare)
			if r.Survivors != p.Nodes-lost {
				t.Errorf("%d nodes have the image, want %d", r.Survivors, p.Nodes-lost)
			}
			if r.OriginRatio > tc.most {
				t.Errorf("origins sent %.2f images, want at most %.2f", r.OriginRatio, tc.most)
			}
			// The interfaces count what only looks like payload too, and may lack what was still on its way at the end.
			if r.WireRatio < 0.9 || r.WireRatio > 1.15*r.OriginRatio+0.1 {
				t.Errorf("origins say that they sent %.2f images, their interfaces counted %.2f", r.OriginRatio, r.WireRatio)
			}
		})
	}
}
