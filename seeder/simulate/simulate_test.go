package simulate

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/samara-hpc/samara/seeder"
)

// equal is a swarm of nodes with 10 MB/s, one controller of the same, and 32 MiB.
func equal(nodes int) Scenario {
	return Scenario{Size: 32 << 20, Nodes: nodes, RackSize: 8, Node: Class{Up: 10e6, Down: 10e6}, ControllerRate: 10e6}
}

func run(t interface {
	Helper()
	Fatalf(string, ...any)
	Context() context.Context
}, s Scenario) Result {
	t.Helper()
	r, err := Run(t.Context(), s)
	if err != nil {
		t.Fatalf("%+v: %v", s, err)
	}
	return r
}

// anyScenario draws a small scenario.
func anyScenario(t *rapid.T) Scenario {
	rate := rapid.Float64Range(1e6, 1e9)
	s := Scenario{
		Size:           rapid.Int64Range(1, 24<<20).Draw(t, "size"),
		PieceLength:    rapid.SampledFrom([]int64{0, 64 << 10, 256 << 10, 1 << 20, 100_000}).Draw(t, "piece"),
		Nodes:          rapid.IntRange(1, 60).Draw(t, "nodes"),
		RackSize:       rapid.IntRange(0, 20).Draw(t, "rack"),
		Node:           Class{Up: rate.Draw(t, "up"), Down: rate.Draw(t, "down")},
		Controllers:    rapid.IntRange(0, 3).Draw(t, "controllers"),
		ControllerRate: rate.Draw(t, "controller"),
		Seed:           rapid.Uint64().Draw(t, "seed"),
	}
	if rapid.Bool().Draw(t, "oversubscribed") {
		s.RackUplink = rate.Draw(t, "uplink")
	}
	if rapid.Bool().Draw(t, "mixed") {
		s.Others = []Class{{Count: rapid.IntRange(0, s.Nodes).Draw(t, "others"), Up: rate.Draw(t, "other up"), Down: rate.Draw(t, "other down"),
			Processor: rate.Draw(t, "processor")}}
	}
	if rapid.Bool().Draw(t, "later") {
		first := rapid.IntRange(0, s.Nodes).Draw(t, "first")
		s.Arrivals = []Arrival{{Nodes: first, Over: time.Duration(rapid.Int64Range(0, 20e9).Draw(t, "over"))},
			{Nodes: s.Nodes - first, At: time.Duration(rapid.Int64Range(0, 60e9).Draw(t, "at"))}}
	}
	for left := s.Nodes - 1; left > 0 && rapid.Bool().Draw(t, "fails"); {
		n := rapid.IntRange(1, left).Draw(t, "failing")
		left -= n
		s.Failures = append(s.Failures, Failure{Kind: rapid.SampledFrom([]Fault{Dies, Vanishes, Freezes}).Draw(t, "fault"), Count: n,
			At: time.Duration(rapid.Int64Range(0, 10e9).Draw(t, "when"))})
	}
	if s.Controllers > 1 && rapid.Bool().Draw(t, "controller dies") {
		s.Failures = append(s.Failures, Failure{Kind: ControllerDies, Count: 1, At: time.Duration(rapid.Int64Range(0, 10e9).Draw(t, "dies"))})
	}
	return s
}

// balance returns how many bytes were sent, and how many came or were lost.
func balance(r Result) (sent, got int64) {
	sent = r.sentByNodes
	for _, n := range r.OriginSent {
		sent += n
	}
	return sent, r.FromPeers + r.FromOrigin + r.Twice + r.Dropped
}

// TestEveryScenarioEndsWell holds any small scenario to what must be so whatever happens.
func TestEveryScenarioEndsWell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyScenario(t)
		r := run(t, s)
		if r.Completed+r.Failed != s.Nodes {
			t.Fatalf("%d complete and %d failed, of %d", r.Completed, r.Failed, s.Nodes)
		}
		if sent, got := balance(r); sent != got {
			t.Fatalf("%d bytes sent, %d received or lost", sent, got)
		}
		if useful := r.FromPeers + r.FromOrigin; useful < int64(r.Completed)*s.Size || useful > int64(s.Nodes)*s.Size {
			t.Fatalf("%d bytes of use, for %d complete nodes of %d", useful, r.Completed, s.Nodes)
		}
		if r.Makespan < r.Limit && r.Completed > 0 && len(s.Failures) == 0 {
			t.Fatalf("takes %v, and the limit is %v", r.Makespan, r.Limit)
		}
		if again := run(t, s); !reflect.DeepEqual(r, again) {
			t.Fatalf("the same scenario twice: %+v, %+v", r, again)
		}
	})
}

// TestBytesAreKeptWhenAControllerDies ends it amid a block of a fragment of several.
func TestBytesAreKeptWhenAControllerDies(t *testing.T) {
	for at := range 40 {
		s := Scenario{Size: 1 << 20, PieceLength: 1 << 20, Nodes: 10, Node: Class{Up: 1e6, Down: 1e6}, Controllers: 2, ControllerRate: 2e6,
			Failures: []Failure{{Kind: ControllerDies, Count: 1, At: time.Duration(at) * 20 * time.Millisecond}}}
		if sent, got := balance(run(t, s)); sent != got {
			t.Errorf("a controller dies at %v: %d bytes sent, %d received or lost", s.Failures[0].At, sent, got)
		}
	}
}

func TestNobodyOutrunsItsLink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyScenario(t)
		w, err := newSwarm(s.filled())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, n := range w.nodes {
			fastest := int64(float64(s.Size) / w.class(n.class).Down * 1e9)
			if n.completed > 0 && n.completed-n.arrived < fastest {
				t.Fatalf("node %d is complete after %v, and its link takes %v", i, time.Duration(n.completed-n.arrived), time.Duration(fastest))
			}
			if n.completed > 0 && (n.first < n.arrived || n.first > n.completed) {
				t.Fatalf("node %d came at %d, had a byte at %d and everything at %d", i, n.arrived, n.first, n.completed)
			}
		}
	})
}

// TestOriginSendsAnImageOnce is the promise of the whole design: at once, whatever the number of nodes and controllers.
func TestOriginSendsAnImageOnce(t *testing.T) {
	for _, nodes := range []int{1, 2, 5, 16, 64, 400} {
		for _, controllers := range []int{1, 3} {
			s := equal(nodes)
			s.Controllers = controllers
			if r := run(t, s); r.Origin < 1 || r.Origin > 1.15 {
				t.Errorf("%d nodes, %d controllers: the origin sent %.2f images", nodes, controllers, r.Origin)
			}
		}
	}
}

func TestFailuresDelayButDoNotEndASwarm(t *testing.T) {
	for what, f := range map[string][]Failure{
		"two die":             {{Kind: Dies, Count: 2, At: 2 * time.Second}},
		"half vanish":         {{Kind: Vanishes, Count: 16, At: 2 * time.Second}},
		"some freeze":         {{Kind: Freezes, Count: 5, At: time.Second}},
		"the first ones":      {{Kind: Freezes, Count: 3, At: 600 * time.Millisecond}},
		"a controller dies":   {{Kind: ControllerDies, Count: 1, At: time.Second}},
		"two controllers die": {{Kind: ControllerDies, Count: 1, At: time.Second}, {Kind: ControllerDies, Count: 1, At: 3 * time.Second}},
		"everything at once":  {{Kind: Dies, Count: 8, At: time.Second}, {Kind: Freezes, Count: 8, At: time.Second}, {Kind: ControllerDies, Count: 2, At: time.Second}},
		"before they come":    {{Kind: Dies, Count: 2}},
	} {
		s := equal(32)
		s.Controllers, s.Failures = 3, f
		r := run(t, s)
		if r.Completed+r.Failed != 32 || r.Completed < 12 {
			t.Errorf("%s: %d complete, %d failed", what, r.Completed, r.Failed)
		}
		if r.Origin > 2.5 {
			t.Errorf("%s: the origin sent %.2f images", what, r.Origin)
		}
	}
}

// TestFasterLinksAreNotSlower gives every kind of link four times the rate.
func TestFasterLinksAreNotSlower(t *testing.T) {
	slow := equal(64)
	slow.RackUplink = 20e6
	for what, change := range map[string]func(*Scenario){
		"nodes":       func(s *Scenario) { s.Node.Up, s.Node.Down = 40e6, 40e6 },
		"controllers": func(s *Scenario) { s.ControllerRate = 40e6 },
		"racks":       func(s *Scenario) { s.RackUplink = 80e6 },
		"everything": func(s *Scenario) {
			s.Node.Up, s.Node.Down, s.ControllerRate, s.RackUplink = 40e6, 40e6, 40e6, 80e6
		},
	} {
		fast := slow
		change(&fast)
		before, after := run(t, slow), run(t, fast)
		if float64(after.Makespan) > 1.05*float64(before.Makespan) {
			t.Errorf("%s four times as fast: %v, and %v before", what, after.Makespan, before.Makespan)
		}
	}
}

func TestArrivalsAreKept(t *testing.T) {
	s := equal(20)
	s.Arrivals = []Arrival{{Nodes: 15}, {Nodes: 5, At: time.Minute}}
	r := run(t, s)
	if r.Makespan < time.Minute || r.Completion.Last > 30*time.Second {
		t.Errorf("the last after %v, and %v since it came", r.Makespan, r.Completion.Last)
	}
	if r.Origin > 1.15 {
		t.Errorf("the origin sent %.2f images; five that come late have fifteen to ask", r.Origin)
	}
}

func TestLargeScenariosAreCoarse(t *testing.T) {
	s := equal(100)
	s.Budget = 2000
	if r := run(t, s); r.PieceLength != 2<<20 || r.Pieces != 16 || r.Coarse != 8 {
		t.Errorf("%d pieces of %d bytes; want 16 of 2 MiB", r.Pieces, r.PieceLength)
	}
}

// TestStalledSwarmFails cuts the only way by which pieces come.
func TestStalledSwarmFails(t *testing.T) {
	s := equal(4)
	s.graph = func(int) []int { return nil }
	s.Failures = []Failure{{Kind: ControllerDies, Count: 1, At: time.Second}}
	s.Controllers = 2
	w, err := newSwarm(s.filled())
	if err != nil {
		t.Fatal(err)
	}
	for c := range w.controllers {
		w.controllers[c].dead = true
	}
	if err := w.run(t.Context()); !errors.Is(err, ErrStalled) || !strings.Contains(err.Error(), "4 wait") {
		t.Errorf("without any controller: %v", err)
	}
	s = equal(4)
	s.Limit = time.Second
	if _, err := Run(t.Context(), s); !errors.Is(err, ErrStalled) {
		t.Errorf("with a limit that is too short: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := equal(2000)
	s.Observe = func(p Progress) {
		if p.Pieces > 0 {
			cancel()
		}
	}
	if _, err := Run(ctx, s); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context ended: %v", err)
	}
}

func TestScenariosThatMakeNoSense(t *testing.T) {
	for what, change := range map[string]func(*Scenario){
		"no image":               func(s *Scenario) { s.Size = 0 },
		"a negative piece":       func(s *Scenario) { s.PieceLength = -1 },
		"no nodes":               func(s *Scenario) { s.Nodes = 0 },
		"too many nodes":         func(s *Scenario) { s.Nodes = MaxNodes + 1 },
		"negative racks":         func(s *Scenario) { s.RackSize = -1 },
		"a node without a link":  func(s *Scenario) { s.Node.Down = 0 },
		"a controller without":   func(s *Scenario) { s.ControllerRate = 0 },
		"too many controllers":   func(s *Scenario) { s.Controllers = MaxControllers + 1 },
		"a class of too many":    func(s *Scenario) { s.Others = []Class{{Count: 5, Up: 1, Down: 1}} },
		"arrivals of too few":    func(s *Scenario) { s.Arrivals = []Arrival{{Nodes: 3}} },
		"arrivals before time":   func(s *Scenario) { s.Arrivals = []Arrival{{Nodes: 4, At: -1}} },
		"failures of everybody":  func(s *Scenario) { s.Failures = []Failure{{Count: 4}} },
		"the last controller":    func(s *Scenario) { s.Failures = []Failure{{Kind: ControllerDies, Count: 1}} },
		"an unknown fault":       func(s *Scenario) { s.Failures = []Failure{{Kind: 9, Count: 1}} },
		"a negative delay":       func(s *Scenario) { s.Net.Delay = -1 },
		"pieces that are absurd": func(s *Scenario) { s.Size, s.Budget = MaxSize, 4 },
	} {
		s := equal(4)
		change(&s)
		if _, err := Run(t.Context(), s); !errors.Is(err, ErrScenario) {
			t.Errorf("%s: %v; want ErrScenario", what, err)
		}
	}
}

func TestPiecesAreThoseOfControllers(t *testing.T) {
	for size := int64(1); size < 1<<36; size = size*3/2 + 1 {
		if got, want := pieceLength(size), seeder.PieceLength(size); got != want {
			t.Errorf("pieces of %d bytes for %d; controllers make them %d", got, size, want)
		}
	}
}

func TestLabRunsAreCompared(t *testing.T) {
	runs, err := ReadLab(strings.NewReader(`{"runs":[
		{"system":"samara","nodes":16,"scenario":"at once","makespan_s":7.2,"origin_ratio":1.0,
			"image_bytes":67108864,"link_bytes_per_s":10000000,"racks":2,"origins":1},
		{"system":"stock","nodes":16,"scenario":"at once","makespan_s":20,"origin_ratio":3}]}`))
	if err != nil {
		t.Fatal(err)
	}
	all, err := Compare(t.Context(), runs)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d comparisons, %v; want 1", len(all), err)
	}
	if _, egress := all[0].Off(); egress < -0.01 || egress > 0.1 {
		t.Errorf("egress is off by %.2f", egress)
	}
	if _, err := Compare(t.Context(), runs[1:]); !errors.Is(err, ErrScenario) {
		t.Errorf("nothing to compare: %v", err)
	}
	if _, err := ReadLab(strings.NewReader("[")); err == nil {
		t.Error("half a file is read")
	}
}
