// Command bench-config measures the configuration of a large cluster on this machine: a controller with its log on a disk,
// and the command line that asks it, as people use it. What the figures are held against is the reading of the same
// configuration with a decoder of YAML that checks nothing: what a program whose state is a YAML file does at every start.
//
// It needs root's rights, for the network namespace that the controller serves in.
//
//	bench-config -samara bin/samara -out out
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"
)

// A result is what is written as JSON: medians, in milliseconds.
type result struct {
	NodeList map[string]float64 `json:"node_list_ms"` // samara node list, from its start to its end, by the number of nodes
	Resolve  map[string]float64 `json:"resolve_ms"`   // all nodes with what their profiles say, in memory, by their number
	Apply    float64            `json:"apply_ms"`     // samara apply of a file that changes 10,000 nodes
	Plan     float64            `json:"plan_ms"`      // samara plan of a profile that 10,000 nodes use
	Memory   float64            `json:"memory_mib"`   // the most that the controller had
	Decode   float64            `json:"yaml_decode_ms"`

	decode map[string]float64 // of the same configuration as YAML, by the number of nodes
}

// options are the command line.
type options struct {
	samara string
	out    string
	rounds int
}

func main() {
	var o options
	flag.StringVar(&o.samara, "samara", "bin/samara", "`file` to measure")
	flag.StringVar(&o.out, "out", "out", "`directory` for bench-config.json, and for the controller's files while it runs: on the disk that is measured")
	flag.IntVar(&o.rounds, "rounds", 5, "`number` of times that each figure is taken")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-config:", err)
		os.Exit(1)
	}
}

// run measures everything, prints it, and writes the figures.
func run(ctx context.Context, o options) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	r := result{NodeList: map[string]float64{}, Resolve: map[string]float64{}, decode: map[string]float64{}}
	if err := measure(ctx, o, &r); err != nil {
		return err
	}
	r.Decode = r.decode[strconv.Itoa(many)]
	if err := r.print(os.Stdout); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	file := filepath.Join(o.out, "bench-config.json")
	if err := os.WriteFile(file+".new", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// print writes each figure, and what part it is of the reading of the same configuration as YAML.
func (r *result) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(what string, ms float64, nodes int) {
		decode := r.decode[strconv.Itoa(nodes)]
		fmt.Fprintf(t, "%s\t%d nodes\t%.1f ms\t%.3f of a YAML decoder's %.0f ms\t\n", what, nodes, ms, ms/decode, decode)
	}
	for _, n := range []int{few, many} {
		row("node list", r.NodeList[strconv.Itoa(n)], n)
	}
	for _, n := range []int{few, many} {
		row("resolve all", r.Resolve[strconv.Itoa(n)], n)
	}
	row("apply to all", r.Apply, many)
	row("plan for all", r.Plan, many)
	fmt.Fprintf(t, "memory\t%d nodes\t%.0f MiB\t\t\n", many, r.Memory)
	return t.Flush()
}

// median returns how long do takes, in milliseconds: the median of so many times.
func median(rounds int, do func(round int) error) (float64, error) {
	var took []float64
	for round := range rounds {
		began := time.Now()
		if err := do(round); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(began))/float64(time.Millisecond))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
