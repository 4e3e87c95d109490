package simulate

import (
	"errors"
	"fmt"
	"time"
)

// ClientProcessor is a Class.Processor as it was measured: one client of anacrolix/torrent v1.62 receives or sends about 700
// MB/s before its lock binds, with requests of 64 KiB.
const ClientProcessor = 1.4e9

// Bounds of a Scenario.
const (
	MaxNodes       = 20_000
	MaxControllers = 16
	MaxSize        = 1 << 44
	MaxRate        = 1e12 // bytes a second
)

// ErrScenario is the cause of every refusal of a Scenario.
var ErrScenario = errors.New("bad scenario")

// A Scenario is one image and the nodes that want it. Rates are in bytes a second, times count from the start. The zero
// value of a field that is not explained otherwise stands for the default that its comment names.
type Scenario struct {
	Size        int64 `json:"size"`                   // of the image in bytes; needed
	PieceLength int64 `json:"piece_length,omitempty"` // in bytes; 0: as controllers choose it for the size
	Nodes       int   `json:"nodes"`                  // 1 to MaxNodes; needed
	RackSize    int   `json:"rack_size,omitempty"`    // nodes of a rack; 0: all in one

	Node       Class   `json:"node"`                  // what every node is that no class of Others claims; needed
	Others     []Class `json:"others,omitempty"`      // classes that claim Count nodes each, chosen at random
	RackUplink float64 `json:"rack_uplink,omitempty"` // of each rack, each way; 0: no limit

	Controllers    int     `json:"controllers,omitempty"` // 0: 1
	ControllerRate float64 `json:"controller_rate"`       // upload of each; needed

	Arrivals []Arrival `json:"arrivals,omitempty"` // in the order of the nodes, so rack after rack; empty: all at once at 0
	Failures []Failure `json:"failures,omitempty"`

	Seed uint64 `json:"seed"`
	Net  Net    `json:"net,omitzero"`
	// Limit ends a run that takes longer, in simulated time, with ErrStalled. 0: a day after the last arrival.
	Limit time.Duration `json:"limit_ns,omitempty"`
	// Budget bounds nodes x pieces; longer pieces than the image's are simulated if it is passed (see Result.PieceLength).
	// 0: 12 million.
	Budget int `json:"budget,omitempty"`

	// Observe is told now and then how far the run is. Nil: nobody.
	Observe func(Progress) `json:"-"`

	graph func(node int) []int // who calls whom, instead of the hand-out; for calibration
}

// A Class is what some nodes have in common.
type Class struct {
	Count     int     `json:"count,omitempty"`     // of the nodes; unused in Scenario.Node
	Up        float64 `json:"up"`                  // link; needed
	Down      float64 `json:"down"`                // needed
	Processor float64 `json:"processor,omitempty"` // bytes that a node can send and receive a second, both together; 0: no limit
}

// An Arrival is nodes that begin to want the image, evenly between At and At+Over.
type Arrival struct {
	Nodes int           `json:"nodes"`
	At    time.Duration `json:"at_ns"`
	Over  time.Duration `json:"over_ns"`
}

// A Fault is what happens to a node or a controller.
type Fault int

// The faults.
const (
	Dies           Fault = iota // a node whose connections are reset at once
	Vanishes                    // a node that lost power: nobody is told
	Freezes                     // a node that keeps its connections and does nothing
	ControllerDies              // a controller whose connections are reset at once
)

var faults = [...]string{Dies: "dies", Vanishes: "vanishes", Freezes: "freezes", ControllerDies: "controller dies"}

func (f Fault) String() string {
	if f < 0 || int(f) >= len(faults) {
		return fmt.Sprintf("Fault(%d)", int(f))
	}
	return faults[f]
}

// MarshalText writes f as String does.
func (f Fault) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// A Failure befalls Count nodes, or controllers, chosen at random among those that are there at At.
type Failure struct {
	Kind  Fault         `json:"kind"`
	Count int           `json:"count"`
	At    time.Duration `json:"at_ns"`
}

// Net is what the network and the programs cost, beside bytes. The zero value stands for the defaults.
type Net struct {
	Delay    time.Duration `json:"delay_ns,omitempty"`  // of a message, from being decided to being acted upon; 0: 1 ms
	Verify   float64       `json:"verify,omitempty"`    // bytes a second that a node hashes; 0: 800 MB/s
	Ask      time.Duration `json:"ask_ns,omitempty"`    // between two questions of an incomplete node; 0: 2 s
	Jitter   time.Duration `json:"jitter_ns,omitempty"` // at most, before a node's first question; 0: 500 ms
	Lag      time.Duration `json:"lag_ns,omitempty"`    // until controllers and peers notice a silent node; 0: 6 s
	Overhead float64       `json:"overhead,omitempty"`  // bytes on the wire per byte of payload, beyond 1; 0: 0.002
	Window   int64         `json:"window,omitempty"`    // origin.Config.Window; 0: the origin's default
}

// A Progress says how far a run is.
type Progress struct {
	Now      time.Duration // simulated
	Pieces   int64         // that reached nodes
	Total    int64         // pieces that are to reach nodes
	Complete int           // nodes
}

// Defaults of a Scenario and of Net.
const (
	defaultDelay    = time.Millisecond
	defaultVerify   = 800e6 // measured: one core with SHA-NI hashes about 850 MB/s
	defaultAsk      = 2 * time.Second
	defaultJitter   = 500 * time.Millisecond
	defaultLag      = 6 * time.Second
	defaultOverhead = 0.002
	defaultLimit    = 24 * time.Hour
	defaultBudget   = 12_000_000
)

// check returns why s cannot be run, and nil if it can.
func (s *Scenario) check() error {
	refuse := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrScenario, fmt.Sprintf(format, a...))
	}
	switch {
	case s.Size < 1 || s.Size > MaxSize:
		return refuse("an image of %d bytes; want 1 to %d", s.Size, int64(MaxSize))
	case s.PieceLength < 0 || s.PieceLength > MaxSize:
		return refuse("pieces of %d bytes; want 0 for the usual ones, or more", s.PieceLength)
	case s.Nodes < 1 || s.Nodes > MaxNodes:
		return refuse("%d nodes; want 1 to %d", s.Nodes, MaxNodes)
	case s.RackSize < 0:
		return refuse("racks of %d nodes; want 1 or more, or 0 for a single rack", s.RackSize)
	case s.Controllers < 0 || s.Controllers > MaxControllers:
		return refuse("%d controllers; want 1 to %d", s.Controllers, MaxControllers)
	case !rate(s.ControllerRate):
		return refuse("a controller's rate of %g bytes/s; want more than 0 and at most %g", s.ControllerRate, float64(MaxRate))
	case s.RackUplink != 0 && !rate(s.RackUplink):
		return refuse("a rack's uplink of %g bytes/s; want at most %g, or 0 for no limit", s.RackUplink, float64(MaxRate))
	case s.Limit < 0 || s.Budget < 0:
		return refuse("a negative limit or budget; want 0 for the default, or more")
	}
	n := s.Net
	if n.Delay < 0 || n.Ask < 0 || n.Jitter < 0 || n.Lag < 0 || n.Verify < 0 || n.Overhead < 0 || n.Overhead > 1 || n.Window < 0 {
		return refuse("a negative cost of the network, or an overhead beyond 1: %+v", n)
	}
	return errors.Join(s.checkClasses(refuse), s.checkTimes(refuse))
}

func rate(r float64) bool { return r > 0 && r <= MaxRate }

func (s *Scenario) checkClasses(refuse func(string, ...any) error) error {
	claimed := 0
	for _, c := range append([]Class{s.Node}, s.Others...) {
		if !rate(c.Up) || !rate(c.Down) || c.Processor != 0 && !rate(c.Processor) {
			return refuse("nodes with %g bytes/s up, %g down and %g in all; want more than 0 and at most %g (0 in all: no limit)", c.Up, c.Down, c.Processor, float64(MaxRate))
		}
	}
	for _, c := range s.Others {
		if c.Count < 0 || c.Count > s.Nodes {
			return refuse("a class of %d nodes of %d", c.Count, s.Nodes)
		}
		claimed += c.Count
	}
	if claimed > s.Nodes {
		return refuse("classes of %d nodes in all, of %d", claimed, s.Nodes)
	}
	return nil
}

func (s *Scenario) checkTimes(refuse func(string, ...any) error) error {
	const longest = 365 * 24 * time.Hour
	arriving := 0
	for _, a := range s.Arrivals {
		if a.Nodes < 0 || a.Nodes > s.Nodes || a.At < 0 || a.Over < 0 || a.At > longest || a.Over > longest {
			return refuse("an arrival of %d nodes at %v over %v", a.Nodes, a.At, a.Over)
		}
		arriving += a.Nodes
	}
	if len(s.Arrivals) > 0 && arriving != s.Nodes {
		return refuse("arrivals of %d nodes in all; want %d", arriving, s.Nodes)
	}
	nodes, controllers := 0, 0
	for _, f := range s.Failures {
		if f.Kind < Dies || f.Kind > ControllerDies || f.Count < 0 || f.Count > MaxNodes || f.At < 0 || f.At > longest {
			return refuse("failure %v of %d at %v", f.Kind, f.Count, f.At)
		}
		if f.Kind == ControllerDies {
			controllers += f.Count
		} else {
			nodes += f.Count
		}
	}
	if nodes >= s.Nodes || controllers >= max(1, s.Controllers) {
		return refuse("%d of %d nodes and %d of %d controllers fail; leave at least one of each", nodes, s.Nodes, controllers, max(1, s.Controllers))
	}
	return nil
}

// filled returns s with its defaults.
func (s Scenario) filled() Scenario {
	s.Controllers = max(1, s.Controllers)
	if s.RackSize == 0 || s.RackSize > s.Nodes {
		s.RackSize = s.Nodes
	}
	if s.PieceLength == 0 {
		s.PieceLength = pieceLength(s.Size)
	}
	if len(s.Arrivals) == 0 {
		s.Arrivals = []Arrival{{Nodes: s.Nodes}}
	}
	setDefault(&s.Budget, defaultBudget)
	setDefault(&s.Net.Delay, defaultDelay)
	setDefault(&s.Net.Verify, defaultVerify)
	setDefault(&s.Net.Ask, defaultAsk)
	setDefault(&s.Net.Jitter, defaultJitter)
	setDefault(&s.Net.Lag, defaultLag)
	setDefault(&s.Net.Overhead, defaultOverhead)
	if s.Limit == 0 {
		for _, a := range s.Arrivals {
			s.Limit = max(s.Limit, a.At+a.Over)
		}
		s.Limit += defaultLimit
	}
	return s
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
