// Command bench-control measures the replicated control plane on this machine: three controllers, each a store with a
// directory of its own, over TLS on loopback. Beside them runs a bare loop of hashicorp/raft, with logs of the same
// kind and entries of the same size, as the ceiling.
//
//	go run ./test/bench-control -out out/bench-control.json
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"
)

// A result is what is written as JSON. Writes are acknowledged ones, by the number of clients.
type result struct {
	WritesPerSecond     map[string]float64 `json:"writes_per_s"`
	BareWritesPerSecond map[string]float64 `json:"bare_writes_per_s"`
	PlanRead            percentiles        `json:"plan_read_us"`
	Leaderless          trials             `json:"leaderless_s"`
	Restart             float64            `json:"restart_s"`
	Snapshot            float64            `json:"snapshot_s"`
	Memory              float64            `json:"memory_mib"`
}

type percentiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

type trials struct {
	percentiles
	Trials int `json:"trials"`
}

// options are the command line.
type options struct {
	out    string
	dir    string        // for the stores; on the disk that is measured
	round  time.Duration // of writing, with each number of clients
	rounds int
	trials int
	nodes  int
}

func main() {
	var o options
	flag.StringVar(&o.out, "out", "out/bench-control.json", "`file` for the figures")
	flag.StringVar(&o.dir, "dir", "", "`directory` for the stores, on the disk to be measured (default: that of -out)")
	flag.DurationVar(&o.round, "round", 3*time.Second, "`time` of each round of writing")
	flag.IntVar(&o.rounds, "rounds", 3, "`number` of rounds of writing, of each kind and each number of clients")
	flag.IntVar(&o.trials, "trials", 20, "`number` of leaders to kill")
	flag.IntVar(&o.nodes, "nodes", 10_000, "`number` of nodes in the state, a multiple of 1000")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if args := flag.Args(); len(args) > 0 && args[0] == childWord {
		err = runChild(ctx, args[1:])
	} else {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-control:", err)
		os.Exit(1)
	}
}

// run measures everything and writes the figures.
func run(ctx context.Context, o options) error {
	if o.dir == "" {
		o.dir = filepath.Dir(o.out)
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "bench-control-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // what is left is in the way of nobody
	var r result
	for _, step := range []struct {
		what string
		do   func(ctx context.Context, dir string, o options, r *result) error
	}{
		{"writes", measureWrites},
		{"plan reads", measurePlans},
		{"deaths of leaders", measureDeaths},
		{"restarts and memory", measureRestart},
	} {
		progress("%s", step.what)
		sub := filepath.Join(dir, step.what)
		if err := os.Mkdir(sub, 0o755); err != nil {
			return err
		}
		if err := step.do(ctx, sub, o, &r); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		if err := os.RemoveAll(sub); err != nil {
			return err
		}
	}
	report(r)
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(o.out, append(b, '\n'), 0o644)
}

// progress says what is going on.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// report prints the figures for people.
func report(r result) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CLIENTS\tWRITES/S\tBARE RAFT\tSHARE")
	for _, n := range clients {
		key := fmt.Sprint(n)
		ours, bare := r.WritesPerSecond[key], r.BareWritesPerSecond[key]
		fmt.Fprintf(w, "%d\t%.0f\t%.0f\t%.0f %%\n", n, ours, bare, 100*ours/bare)
	}
	fmt.Fprintln(w)
	fmt.Fprintf(w, "boot plan, stale, 16 clients writing\tp50 %.1f µs\tp99 %.1f µs\n", r.PlanRead.P50, r.PlanRead.P99)
	fmt.Fprintf(w, "no write possible after kill -9 of the leader, %d trials\tp50 %.2f s\tp99 %.2f s\n", r.Leaderless.Trials, r.Leaderless.P50, r.Leaderless.P99)
	fmt.Fprintf(w, "snapshot written\t%.2f s\n", r.Snapshot)
	fmt.Fprintf(w, "restart until plans are answered\t%.2f s\n", r.Restart)
	fmt.Fprintf(w, "memory (RSS), with the states of the past\t%.0f MiB\n", r.Memory)
	_ = w.Flush()
}
