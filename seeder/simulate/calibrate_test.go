package simulate

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// mesh has everybody call everybody.
func mesh(nodes int) func(int) []int {
	return func(int) []int {
		all := make([]int, nodes)
		for i := range all {
			all[i] = i
		}
		return all
	}
}

// regular is a random graph of a degree: a union of rings.
func regular(nodes, degree int) func(int) []int {
	r := rand.New(rand.NewPCG(1, 2))
	next := make([][]int, nodes)
	for range degree / 2 {
		ring := r.Perm(nodes)
		for i, n := range ring {
			next[n] = append(next[n], ring[(i+1)%nodes])
		}
	}
	return func(n int) []int { return next[n] }
}

// A measurement is a swarm of real clients, and how long it took.
type measurement struct {
	name     string
	scenario Scenario
	makespan float64 // seconds
	origin   float64 // times the image
}

// measured are swarms of anacrolix/torrent v1.62 processes on loopback, with 256 MiB and uplinks limited in the processes.
func measured() []measurement {
	base := func(nodes, degree int, rate float64, piece int64) Scenario {
		s := Scenario{Size: 256 << 20, PieceLength: piece, Nodes: nodes, Node: Class{Up: rate, Down: 1e9}, ControllerRate: rate,
			Net: Net{Jitter: time.Millisecond}, graph: mesh(nodes)}
		if degree > 0 {
			s.graph = regular(nodes, degree)
		}
		return s
	}
	killed, apart, late := base(16, 0, 20e6, 1<<20), base(16, 0, 20e6, 1<<20), base(16, 0, 20e6, 1<<20)
	killed.Failures = []Failure{{Kind: Dies, Count: 2, At: 3 * time.Second}}
	apart.Arrivals = []Arrival{{Nodes: 16, Over: 8 * time.Second}}
	late.Nodes, late.graph = 24, mesh(24)
	late.Arrivals = []Arrival{{Nodes: 16}, {Nodes: 8, At: 14300 * time.Millisecond}}
	return []measurement{
		{"16 nodes, 20 MB/s", base(16, 0, 20e6, 1<<20), 14.3, 1},
		{"32 nodes, 10 MB/s, degree 6", base(32, 6, 10e6, 1<<20), 30.7, 1},
		{"48 nodes, 6 MB/s, degree 8", base(48, 8, 6e6, 1<<20), 57, 1.02},
		{"16 nodes, 20 MB/s, pieces of 4 MiB", base(16, 0, 20e6, 4<<20), 19, 1},
		{"16 nodes, 20 MB/s, pieces of 16 MiB", base(16, 0, 20e6, 16<<20), 28, 1},
		{"16 nodes, 20 MB/s, 2 die after 3 s", killed, 14.8, 1.07},
		{"16 nodes, 20 MB/s, 0.5 s apart", apart, 16.8, 1},
		{"16 nodes, 20 MB/s, and 8 when the first is done", late, 21.6, 1},
	}
}

func TestModelAgreesWithMeasurements(t *testing.T) {
	for _, m := range measured() {
		r, err := Run(t.Context(), m.scenario)
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		took := r.Makespan.Seconds()
		t.Logf("%-48s %6.1f s, measured %5.1f (%+3.0f %%), origin %.2f, measured %.2f", m.name, took, m.makespan, (took/m.makespan-1)*100, r.Origin, m.origin)
		if math.Abs(took/m.makespan-1) > 0.2 {
			t.Errorf("%s: takes %.1f s, and took %.1f s", m.name, took, m.makespan)
		}
		if math.Abs(r.Origin/m.origin-1) > 0.1 {
			t.Errorf("%s: the origin sends %.2f images, and sent %.2f", m.name, r.Origin, m.origin)
		}
	}
}
