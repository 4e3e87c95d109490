package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// What an idle agent may take.
const (
	aimCPU    = 0.1 // percent of one core
	aimMemory = 40  // MiB beyond the image
)

// An agent is what one of them took. Memory is in MiB, the most of looks 5 s apart.
type agent struct {
	Node      string  `json:"node"`
	Known     int     `json:"nodes_known"`     // by its controller
	Gossips   bool    `json:"gossips"`         // takes part in the mesh
	CPU       float64 `json:"cpu_percent"`     // of one core, in user and kernel mode
	Wakes     float64 `json:"wakeups_per_s"`   // voluntary context switches of all threads
	Preempted float64 `json:"preempted_per_s"` // involuntary ones
	Own       float64 `json:"rss_anon_mib"`    // heap, stacks, what the program writes
	Code      float64 `json:"rss_file_mib"`    // the lab's program, which holds the agent's code and more
	Mapped    float64 `json:"rss_shmem_mib"`   // mapped pages of the image, part of no sum
	PSS       float64 `json:"pss_mib"`         // all three, shared pages divided among the agents on this machine
	Links     int     `json:"swarm_links"`     // connections to nodes and controllers of the swarm, at the end
	Threads   int     `json:"threads"`
	Aside     bool    `json:"idle_class"` // SCHED_IDLE and idle I/O, all threads
}

// A group is agents of one kind.
type group struct {
	Known   int    `json:"nodes_known"`
	Gossips bool   `json:"gossips"`
	Agents  int    `json:"agents"`
	CPU     spread `json:"cpu_percent"`
	Wakes   spread `json:"wakeups_per_s"`
	Links   spread `json:"swarm_links"`
	Own     spread `json:"rss_anon_mib"`
	Beyond  spread `json:"beyond_image_mib"` // Own and the whole of the agent's program
	Aside   int    `json:"idle_class"`       // of the agents
	Met     bool   `json:"aims_met"`         // by every one
}

// A spread is the least, the middle and the most of some values.
type spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// A report is what the measurement came to.
type report struct {
	Watched    float64 `json:"watched_s"`
	Processors int     `json:"processors"`
	Image      int64   `json:"image_mib"`
	Program    float64 `json:"program_mib"` // of the real agent, which lies in a node's RAM as a whole
	Groups     []group `json:"groups"`
	Agents     []agent `json:"agents"`
}

// sum makes groups of the agents.
func (r *report) sum() {
	type kind struct {
		known   int
		gossips bool
	}
	kinds := map[kind][]agent{}
	var order []kind
	for _, a := range r.Agents {
		k := kind{a.Known, a.Gossips}
		if kinds[k] == nil {
			order = append(order, k)
		}
		kinds[k] = append(kinds[k], a)
	}
	r.Groups = nil
	for _, k := range order {
		list := kinds[k]
		g := group{Known: k.known, Gossips: k.gossips, Agents: len(list),
			CPU:    spreadOf(list, func(a agent) float64 { return a.CPU }),
			Wakes:  spreadOf(list, func(a agent) float64 { return a.Wakes }),
			Links:  spreadOf(list, func(a agent) float64 { return float64(a.Links) }),
			Own:    spreadOf(list, func(a agent) float64 { return a.Own }),
			Beyond: spreadOf(list, func(a agent) float64 { return a.Own + r.Program }),
		}
		for _, a := range list {
			if a.Aside {
				g.Aside++
			}
		}
		g.Met = g.CPU.Max < aimCPU && g.Beyond.Max < aimMemory && g.Aside == g.Agents
		r.Groups = append(r.Groups, g)
	}
}

func spreadOf(list []agent, value func(agent) float64) spread {
	values := make([]float64, len(list))
	for i, a := range list {
		values[i] = value(a)
	}
	slices.Sort(values)
	n := len(values)
	return spread{values[0], (values[(n-1)/2] + values[n/2]) / 2, values[n-1]}
}

// table is the report for people.
func (r *report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Idle agents over %.0f s, each with an image of %d MiB; %d processors. Least / median / most of the agents.\n\n",
		r.Watched, r.Image, r.Processors)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight|tabwriter.DiscardEmptyColumns)
	fmt.Fprint(w, "nodes known\tgossips\tagents\t% of a core\twake-ups/s\tlinks\town MiB\tMiB beyond the image\tidle class\taims\t\n")
	for _, g := range r.Groups {
		gossips, met := "no", "missed"
		if g.Gossips {
			gossips = "yes"
		}
		if g.Met {
			met = "met"
		}
		fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%d of %d\t%s\t\n", g.Known, gossips, g.Agents, g.CPU.text(3), g.Wakes.text(1),
			g.Links.text(0), g.Own.text(1), g.Beyond.text(1), g.Aside, g.Agents, met)
	}
	fmt.Fprintf(w, "\t\taim\tunder %.1f\t\t\t\tunder %d\tall\t\t\n", aimCPU, aimMemory)
	_ = w.Flush() // into memory
	fmt.Fprintf(&b, `
%% of a core: processor time of the process in user and kernel mode. What the kernel does with packets in interrupts is in no process's account.
wake-ups: voluntary context switches of all threads. Links: connections to nodes and to controllers of the swarm.
own: anonymous memory; the most of looks 5 s apart. Beyond the image: own, and all %.1f MiB of the agent's program, which stays in RAM as a whole.
`, r.Program)
	return b.String()
}

func (s spread) text(digits int) string {
	return fmt.Sprintf("%.*f / %.*f / %.*f", digits, s.Min, digits, s.Median, digits, s.Max)
}
