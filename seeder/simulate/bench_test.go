package simulate

import (
	"fmt"
	"testing"
)

// BenchmarkRun times large swarms on links of 10 Gbit/s.
func BenchmarkRun(b *testing.B) {
	for _, c := range []struct{ nodes, pieces int }{{1000, 512}, {10_000, 1000}} {
		b.Run(fmt.Sprintf("nodes=%d/pieces=%d", c.nodes, c.pieces), func(b *testing.B) {
			for b.Loop() {
				r, err := Run(b.Context(), Scenario{Size: int64(c.pieces) << 20, PieceLength: 1 << 20, Nodes: c.nodes, RackSize: 40,
					Node: Class{Up: 1.25e9, Down: 1.25e9}, RackUplink: 12.5e9, Controllers: 3, ControllerRate: 3.125e9})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(r.Events), "events")
				b.ReportMetric(r.Ratio, "ratio")
				b.ReportMetric(r.Origin, "images")
			}
		})
	}
}
