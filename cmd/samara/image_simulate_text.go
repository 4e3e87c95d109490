package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/samara-hpc/samara/seeder/simulate"
)

// Shape of the progress curve.
const (
	curveRows  = 10
	curveWidth = 40
)

// writeForetold shows on one screen how a simulated swarm did.
func writeForetold(w io.Writer, f foretold) error {
	r, s := f.Result, f.Scenario
	var t table
	image := fmt.Sprintf("%s, %s in pieces of %s (%d)", f.Image, size(r.Size), binarySize(r.PieceLength), r.Pieces)
	if r.Coarse > 1 {
		image += fmt.Sprintf("; each stands for %d, or it would take too long", r.Coarse)
	}
	t.add("image", image)
	t.add("nodes", nodesText(s))
	t.add("controllers", fmt.Sprintf("%d at %s", max(1, s.Controllers), bits(s.ControllerRate)))
	if r.Failed > 0 {
		t.add("complete", fmt.Sprintf("%d of %d; %d failed on the way", r.Completed, r.Nodes, r.Failed))
	}
	t.add("all complete after", fmt.Sprintf("%s; no protocol could take less than %s (%.2f times that)", span(r.Makespan), span(r.Limit), r.Ratio))
	t.add("plain HTTP would take", fmt.Sprintf("%s (%.0f times as long)", span(r.HTTP), float64(r.HTTP)/float64(max(1, r.Makespan))))
	t.add("a node's image", quantileText(r.Completion))
	t.add("a node's first byte", quantileText(r.FirstByte))
	t.add("controllers sent", fmt.Sprintf("%.2f images: %s", r.Origin, strings.Join(mapped(r.OriginSent, size), " + ")))
	t.add("nodes sent", fmt.Sprintf("%s, %.0f%% of it to other racks", size(r.FromPeers), r.CrossRack*100))
	used := fmt.Sprintf("nodes' %.0f%%", r.NodeUplink*100)
	if s.RackUplink > 0 {
		used += fmt.Sprintf(", the busiest rack's %.0f%%", r.RackUplink*100)
	}
	t.add("uplinks used", used)
	if r.Starving > 0 {
		t.add("shown again", fmt.Sprintf("%d pieces, which did not spread in time", r.Starving))
	}
	if err := t.write(w); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n"+curveText(r))
	return err
}

func nodesText(s simulate.Scenario) string {
	text := fmt.Sprintf("%d in racks of %d (%d), at %s", s.Nodes, min(s.RackSize, s.Nodes), (s.Nodes+s.RackSize-1)/s.RackSize, bits(s.Node.Up))
	if s.Node.Down != s.Node.Up {
		text += " up and " + bits(s.Node.Down) + " down"
	}
	for _, c := range s.Others {
		text += fmt.Sprintf(", %d at %s", c.Count, bits(c.Up))
	}
	if s.RackUplink > 0 {
		text += "; racks at " + bits(s.RackUplink)
	}
	return text
}

func quantileText(q simulate.Quantile) string {
	return fmt.Sprintf("50%% %s   90%% %s   99%% %s   last %s", span(q.P50), span(q.P90), span(q.P99), span(q.Last))
}

// curveText draws how much of all that nodes are to get has come, over time.
func curveText(r simulate.Result) string {
	var b strings.Builder
	at := 0
	for row := 1; row <= curveRows; row++ {
		until := r.Makespan * time.Duration(row) / curveRows
		for at+1 < len(r.Curve) && r.Curve[at+1].At <= until {
			at++
		}
		p := r.Curve[at]
		if row == curveRows {
			p = r.Curve[len(r.Curve)-1]
		}
		bar := strings.Repeat("#", int(p.Done*curveWidth+0.5))
		fmt.Fprintf(&b, "%7s %4.0f%%  %-*s %6d complete\n", span(until), p.Done*100, curveWidth, bar, p.Complete)
	}
	return b.String()
}

// bits writes a rate in bytes per second as bits per second.
func bits(rate float64) string {
	v, unit := rate*8, 0
	units := []string{"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"}
	for v >= 999.5 && unit < len(units)-1 {
		v /= 1000
		unit++
	}
	return fmt.Sprintf("%.4g %s", v, units[unit])
}

// binarySize writes the length of a piece, which is a power of two if the image is large.
func binarySize(n int64) string {
	switch {
	case n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
