// Bench-simulate holds the simulator of swarms against the lab's measurements, and has it foretell how swarms fare that no
// lab holds. It writes a page of Markdown and a drawing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/samara-hpc/samara/seeder/simulate"
)

func main() {
	lab := flag.String("lab", "out/bench-swarm.json", "what the lab measured")
	docs := flag.String("docs", "docs", "directory for swarm-simulated.md and swarm-simulated.svg")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, *lab, *docs, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench-simulate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, lab, docs string, stdout, stderr io.Writer) error {
	var page strings.Builder
	page.WriteString("# Swarms, simulated\n\nWritten by `make bench-simulate`. What the model is and leaves out: `go doc ./seeder/simulate`.\n\n")
	compared, err := compare(ctx, lab)
	if err != nil {
		return err
	}
	page.WriteString(compared)
	fates, err := foretell(ctx, stderr)
	if err != nil {
		return err
	}
	page.WriteString(large(fates))
	if _, err := io.WriteString(stdout, page.String()); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(docs, "swarm-simulated.md"), []byte(page.String()), 0o644),
		os.WriteFile(filepath.Join(docs, "swarm-simulated.svg"), []byte(draw(fates)), 0o644))
}

// compare returns a table of the lab's runs beside the simulator's.
func compare(ctx context.Context, lab string) (string, error) {
	f, err := os.Open(lab)
	if errors.Is(err, fs.ErrNotExist) {
		return "There is no " + lab + " to compare with; `make bench-swarm` makes one.\n\n", nil
	} else if err != nil {
		return "", err
	}
	defer f.Close()
	runs, err := simulate.ReadLab(f)
	if err != nil {
		return "", err
	}
	all, err := simulate.Compare(ctx, runs)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("## Beside the lab\n\nEqual links, nothing fails.\n\n")
	b.WriteString("| nodes | | link, MB/s | lab, s | model, s | off | lab, images | model, images | off |\n|--:|:--|--:|--:|--:|--:|--:|--:|--:|\n")
	bound := false
	for _, c := range all {
		makespan, egress := c.Off()
		mark := ""
		if c.Lab.CPUBound {
			bound, mark = true, "\\*"
		}
		fmt.Fprintf(&b, "| %d | %s | %.1f | %.1f%s | %.1f | %+.0f %% | %.2f | %.2f | %+.0f %% |\n", c.Lab.Nodes, c.Lab.Scenario, c.Lab.Link/1e6, c.Lab.Makespan, mark,
			c.Model.Makespan.Seconds(), makespan*100, c.Lab.OriginRatio, c.Model.Origin, egress*100)
	}
	if bound {
		b.WriteString("\n\\* The lab's processors were the limit, not its links, which the model knows nothing of.\n")
	}
	b.WriteString("\n")
	return b.String(), nil
}

// A fate is how one large swarm fares.
type fate struct {
	name   string
	nodes  int
	result simulate.Result
}

// The cluster whose fate is foretold.
const (
	image     = 1 << 30
	rackSize  = 40
	nodeLink  = 10e9 / 8
	uplink    = 100e9 / 8
	headLink  = 25e9 / 8
	heads     = 3
	atOnce    = "at once"
	staggered = "over 30 s"
	failing   = "2 % die"
)

// sizes are the swarms that are foretold.
var sizes = [...]int{64, 1000, 5000, 10_000}

func foretell(ctx context.Context, log io.Writer) ([]fate, error) {
	var fates []fate
	for _, name := range []string{atOnce, staggered, failing} {
		for _, nodes := range sizes {
			s := simulate.Scenario{Size: image, Nodes: nodes, RackSize: rackSize, Node: simulate.Class{Up: nodeLink, Down: nodeLink, Processor: simulate.ClientProcessor},
				RackUplink: uplink, Controllers: heads, ControllerRate: headLink}
			switch name {
			case staggered:
				s.Arrivals = []simulate.Arrival{{Nodes: nodes, Over: 30 * time.Second}}
			case failing:
				s.Failures = []simulate.Failure{{Kind: simulate.Dies, Count: max(1, nodes/50), At: time.Second}}
			}
			began := time.Now()
			r, err := simulate.Run(ctx, s)
			if err != nil {
				return nil, fmt.Errorf("%d nodes, %s: %w", nodes, name, err)
			}
			_, _ = fmt.Fprintf(log, "%d nodes, %s: %.1f s of the swarm in %.1f s\n", nodes, name, r.Makespan.Seconds(), time.Since(began).Seconds())
			fates = append(fates, fate{name, nodes, r})
		}
	}
	return fates, nil
}

// large returns a table of fates.
func large(fates []fate) string {
	var b strings.Builder
	b.WriteString("## Large swarms\n\nAn image of 1 GiB in pieces of 1 MiB; racks of 40 nodes; nodes at 10 Gbit/s, racks at 100, three controllers at 25; a\n" +
		"node's client sends and receives 1.4 GB/s together, as measured, which is half of what its link can.\n" +
		"The limit is that of the links, for any protocol; HTTP is the three controllers alone, at their full rate. Nodes' times\n" +
		"count from their own arrival, and hold up to half a second until they first ask.\n\n")
	b.WriteString("| nodes | | last, s | limit, s | HTTP, s | p50, s | p99, s | first byte p50, s | images sent | shown again | across racks |\n" +
		"|--:|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, f := range fates {
		r := f.result
		fmt.Fprintf(&b, "| %d | %s | %.1f | %.1f | %.0f | %.1f | %.1f | %.1f | %.2f | %d | %.0f %% |\n", f.nodes, f.name, r.Makespan.Seconds(), r.Limit.Seconds(),
			r.HTTP.Seconds(), r.Completion.P50.Seconds(), r.Completion.P99.Seconds(), r.FirstByte.P50.Seconds(), r.Origin, r.Starving, r.CrossRack*100)
	}
	b.WriteString("\n![How images spread, and how long it takes](swarm-simulated.svg)\n")
	return b.String()
}
