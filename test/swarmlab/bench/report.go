package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/test/swarmlab"
	"github.com/samara-hpc/samara/test/swarmlab/chart"
)

// table writes the results in Markdown.
func table(results []swarmlab.Result) string {
	var b strings.Builder
	b.WriteString("| system | nodes | scenario | link | limit | makespan | × limit | p50 | p99 | first bytes | origin ÷ image | uplink ÷ image | CPU busy | MiB per node |\n" +
		"|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range results {
		if r.Computed {
			fmt.Fprintf(&b, "| %s | %d | computed | %s | | %.0f s | | | | | %.2f | | | |\n", r.System, r.Nodes, rate(r.Link), r.Makespan, r.OriginRatio)
			continue
		}
		bound := ""
		if r.CPUBound {
			bound = " **(bound)**"
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %.1f s | %.1f s | %.2f | %.1f s | %.1f s | %.1f to %.1f s | %.2f | %.2f | %.0f %%%s | %.0f |\n",
			r.System, r.Nodes, r.Scenario, rate(r.Link), r.Limit, r.Makespan, r.Makespan/r.Limit, r.P50, r.P99, r.BegunFirst, r.BegunLast, r.OriginRatio, r.UplinkRatio,
			100*r.CPUShare, bound, r.RSS)
	}
	return b.String()
}

// rate writes a rate for people.
func rate(bytesPerSecond int64) string { return fmt.Sprintf("%.1f MB/s", float64(bytesPerSecond)/1e6) }

// looks of the systems.
var colors = map[swarmlab.System]chart.Color{swarmlab.Ours: chart.Blue, swarmlab.Stock: chart.Orange, swarmlab.HTTP: chart.Rose}

// names of the systems, for people.
var names = map[swarmlab.System]string{swarmlab.Ours: "Samara", swarmlab.Stock: "stock BitTorrent", swarmlab.HTTP: "one HTTP server"}

// draw makes the chart of the comparison.
func draw(results []swarmlab.Result) chart.Chart {
	c := chart.Chart{Title: "One image to N nodes over equal links"}
	if len(results) > 0 {
		c.Note = fmt.Sprintf("%d MiB, every node and the one origin behind a link of the same rate in both directions; measured on one machine", results[0].Image>>20)
	}
	c.Panels = append(c.Panels,
		against(results, "Time until the last node has the image", "times F ÷ link, log scale", func(r swarmlab.Result) float64 {
			return r.Makespan / (float64(r.Image) / float64(r.Link))
		}),
		against(results, "Sent by the origin", "images, log scale", func(r swarmlab.Result) float64 { return r.OriginRatio }))
	most := 0
	for _, r := range results {
		if r.Scenario == atOnce && !r.Computed && r.System != swarmlab.HTTP {
			most = max(most, r.Nodes)
		}
	}
	c.Panels = append(c.Panels, progress(results, most), traffic(results, most))
	return c
}

// against plots a figure of the runs in which all begin at once, by their number of nodes.
func against(results []swarmlab.Result, title, unit string, figure func(swarmlab.Result) float64) chart.Panel {
	p := chart.Panel{Title: title, X: chart.Axis{Name: "nodes, log scale", Log: true}, Y: chart.Axis{Name: unit, Log: true, Ticks: []float64{1, 2, 4, 8, 16, 32, 64}}}
	for _, s := range []swarmlab.System{swarmlab.Ours, swarmlab.Stock, swarmlab.HTTP} {
		measured := chart.Line{Name: names[s], Color: colors[s], Dots: true}
		ideal := chart.Line{Name: names[s] + ", computed", Color: colors[s], Dashed: true}
		for _, r := range results {
			switch at := (chart.Point{X: float64(r.Nodes), Y: figure(r)}); {
			case r.System != s || r.Scenario != atOnce:
			case r.Computed:
				ideal.Points = append(ideal.Points, at)
			default:
				measured.Points = append(measured.Points, at)
				if !slices.Contains(p.X.Ticks, at.X) {
					p.X.Ticks = append(p.X.Ticks, at.X)
				}
			}
		}
		if ideal.Points != nil { // it has the name that is in the legend
			measured.Name = ""
			p.Lines = append(p.Lines, ideal)
		}
		p.Lines = append(p.Lines, measured)
	}
	return p
}

// progress plots how the image grew on every node of the largest runs.
func progress(results []swarmlab.Result, nodes int) chart.Panel {
	p := chart.Panel{Title: fmt.Sprintf("Progress of each of %d nodes", nodes), X: chart.Axis{Name: "seconds"},
		Y: chart.Axis{Name: "part of the image", Ticks: []float64{0, 0.25, 0.5, 0.75, 1}}}
	for _, r := range largest(results, nodes) {
		name := names[r.System]
		for _, course := range r.Course.Nodes {
			l := chart.Line{Name: name, Color: colors[r.System], Thin: true}
			for _, s := range course {
				l.Points = append(l.Points, chart.Point{X: s.At.Seconds(), Y: s.Have})
			}
			p.Lines, name = append(p.Lines, l), ""
		}
		p.Marks = []chart.Mark{{X: r.Limit, Name: "limit of the links"}}
	}
	return p
}

// traffic plots what origins and uplinks passed in the largest runs.
func traffic(results []swarmlab.Result, nodes int) chart.Panel {
	p := chart.Panel{Title: fmt.Sprintf("Sent by the origin to %d nodes so far, and (dashed) into each rack", nodes), X: chart.Axis{Name: "seconds"}, Y: chart.Axis{Name: "images"}}
	for _, r := range largest(results, nodes) {
		origin := chart.Line{Name: names[r.System], Color: colors[r.System]}
		uplink := chart.Line{Color: colors[r.System], Dashed: true}
		for _, t := range r.Course.Traffic {
			origin.Points = append(origin.Points, chart.Point{X: t.At.Seconds(), Y: t.Origin})
			uplink.Points = append(uplink.Points, chart.Point{X: t.At.Seconds(), Y: t.Uplink})
		}
		p.Lines = append(p.Lines, origin, uplink)
	}
	return p
}

// largest returns the runs of that many nodes that begin at once.
func largest(results []swarmlab.Result, nodes int) []swarmlab.Result {
	var list []swarmlab.Result
	for _, r := range results {
		if r.Nodes == nodes && r.Scenario == atOnce && r.System != swarmlab.HTTP {
			list = append(list, r)
		}
	}
	return list
}
