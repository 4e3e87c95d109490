// Command bench measures how an image reaches many nodes: by Samara, by stock BitTorrent, by one HTTP server, all over the
// same limited links on this machine. It needs root and takes more than half an hour.
//
//	make bench-swarm
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/samara-hpc/samara/test/swarmlab"
	"github.com/samara-hpc/samara/test/swarmlab/peer"
)

// options are the command line.
type options struct {
	samara, out string
	only        string
	image       int64   // MiB
	pace        float64 // by which all links are faster
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-swarm:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == peer.Word {
		return peer.Main(ctx, args, os.Stdin, os.Stdout)
	}
	var o options
	f := flag.NewFlagSet("bench-swarm", flag.ExitOnError)
	f.StringVar(&o.samara, "samara", "bin/samara", "the product's `file`")
	f.StringVar(&o.out, "out", "out", "`directory` for bench-swarm.json, .md and .svg")
	f.StringVar(&o.only, "only", "", "only the runs whose description matches this `expression`, such as \"samara, 8 nodes\"")
	f.Int64Var(&o.image, "image", 128, "size of the image, in `MiB`")
	f.Float64Var(&o.pace, "pace", 1, "`factor` by which links are faster than usual")
	_ = f.Parse(args) // it exits by itself
	if f.NArg() > 0 || o.image < 1 || o.pace <= 0 {
		f.Usage()
		return fmt.Errorf("bad arguments %q", args)
	}
	return measure(ctx, o)
}

// measure carries all plans out and writes what they came to.
func measure(ctx context.Context, o options) error {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	tools, err := toolsOf(o)
	if err != nil {
		return err
	}
	var list []swarmlab.Plan
	var left time.Duration
	for _, p := range plans(o.image<<20, o.pace) {
		if only.MatchString(p.String()) {
			list, left = append(list, p), left+expected(p)
		}
	}
	var results []swarmlab.Result
	for i, p := range list {
		say("%2d/%d  %s: links of %s; about %d min left", i+1, len(list), p, rate(p.Link), int(left.Minutes())+1)
		r, err := tools.Run(ctx, p)
		if err != nil {
			return err
		}
		left -= expected(p)
		say("       %.1f s, %.2f times the limit; origins sent %.2f images; processors %.0f %% busy",
			r.Makespan, r.Makespan/r.Limit, r.OriginRatio, 100*r.CPUShare)
		results = append(results, r)
	}
	if o.only == "" {
		results = append(results, computed(o.image<<20, o.pace)...)
	}
	return write(o.out, results)
}

func toolsOf(o options) (swarmlab.Tools, error) {
	self, err := os.Executable()
	if err != nil {
		return swarmlab.Tools{}, err
	}
	samara, err := filepath.Abs(o.samara)
	if err != nil {
		return swarmlab.Tools{}, err
	}
	if _, err := os.Stat(samara); err != nil {
		return swarmlab.Tools{}, fmt.Errorf("%w: make build makes it", err)
	}
	return swarmlab.Tools{Samara: samara, Peer: self, Prefix: "samara-bench"}, nil
}

// write writes everything into dir, and the table to standard output.
func write(dir string, results []swarmlab.Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(struct {
		Runs []swarmlab.Result `json:"runs"`
	}{results}, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "bench-swarm.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	table := table(results)
	fmt.Print(table)
	if err := os.WriteFile(filepath.Join(dir, "bench-swarm.md"), []byte(table), 0o644); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "bench-swarm.svg"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := draw(results).WriteSVG(f); err != nil {
		return err
	}
	return f.Close()
}

// say tells what is going on.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
