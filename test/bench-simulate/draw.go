package main

import (
	"fmt"
	"math"
	"strings"
)

// A panel is a frame in which curves are drawn.
type panel struct {
	b                  *strings.Builder
	left, top          float64
	wide, high         float64
	fromX, toX         float64
	fromY, toY         float64
	logarithmic        bool // both axes
	title, xName, what string
}

var colours = [...]string{"#1b6ca8", "#d1495b", "#3a7d44", "#edae49"}

// draw draws how large swarms that begin at once progress, and what their size means for their time.
func draw(fates []fate) string {
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" width="900" height="360" viewBox="0 0 900 360" font-family="sans-serif" font-size="12">` + "\n")
	b.WriteString(`<rect width="900" height="360" fill="#ffffff"/>` + "\n")
	course(&b, fates)
	growth(&b, fates)
	b.WriteString("</svg>\n")
	return b.String()
}

// course draws the part of all bytes that has come, over time.
func course(b *strings.Builder, fates []fate) {
	longest := 0.0
	for _, f := range fates {
		if f.name == atOnce {
			longest = max(longest, f.result.Makespan.Seconds())
		}
	}
	p := panel{b: b, left: 60, top: 40, wide: 350, high: 260, toX: longest, toY: 100, title: "All at once", xName: "seconds", what: "% of all bytes"}
	p.frame(steps(longest), []float64{0, 25, 50, 75, 100})
	i := 0
	for _, f := range fates {
		if f.name != atOnce {
			continue
		}
		var points [][2]float64
		for _, c := range f.result.Curve {
			points = append(points, [2]float64{min(longest, c.At.Seconds()), c.Done * 100})
		}
		p.curve(points, colours[i%len(colours)], fmt.Sprintf("%d nodes", f.nodes), i)
		i++
	}
}

// growth draws the time until the last node is complete, over the number of nodes, beside the limit and HTTP.
func growth(b *strings.Builder, fates []fate) {
	last := sizes[len(sizes)-1]
	p := panel{b: b, left: 500, top: 40, wide: 350, high: 260, fromX: float64(sizes[0]), toX: float64(last), fromY: 0.1, toY: 10_000, logarithmic: true,
		title: "Until the last node is complete", xName: "nodes", what: "seconds"}
	p.frame([]float64{64, 100, 1000, 10_000}, []float64{0.1, 1, 10, 100, 1000, 10_000})
	lines := []struct {
		name string
		of   func(fate) (float64, bool)
	}{
		{"HTTP from the controllers", func(f fate) (float64, bool) { return f.result.HTTP.Seconds(), f.name == atOnce }},
		{"Samara, at once", func(f fate) (float64, bool) { return f.result.Makespan.Seconds(), f.name == atOnce }},
		{"Samara, 2 % die", func(f fate) (float64, bool) { return f.result.Makespan.Seconds(), f.name == failing }},
		{"limit of the links", func(f fate) (float64, bool) { return f.result.Limit.Seconds(), f.name == atOnce }},
	}
	for i, l := range lines {
		var points [][2]float64
		for _, f := range fates {
			if y, is := l.of(f); is {
				points = append(points, [2]float64{float64(f.nodes), y})
			}
		}
		p.curve(points, colours[i%len(colours)], l.name, i)
	}
}

// steps returns about five round places on an axis from 0.
func steps(to float64) []float64 {
	step := math.Pow(10, math.Floor(math.Log10(max(to, 1e-9)/2)))
	for to/step > 6 {
		step *= 2
	}
	var out []float64
	for v := 0.0; v <= to; v += step {
		out = append(out, v)
	}
	return out
}

func (p *panel) x(v float64) float64 { return p.left + p.wide*p.share(v, p.fromX, p.toX) }
func (p *panel) y(v float64) float64 { return p.top + p.high*(1-p.share(v, p.fromY, p.toY)) }

func (p *panel) share(v, from, to float64) float64 {
	if p.logarithmic {
		v, from, to = math.Log(v), math.Log(from), math.Log(to)
	}
	return (v - from) / (to - from)
}

func (p *panel) frame(xs, ys []float64) {
	fmt.Fprintf(p.b, `<text x="%.0f" y="%.0f" font-size="14" font-weight="bold">%s</text>`+"\n", p.left, p.top-20, p.title)
	fmt.Fprintf(p.b, `<text x="%.0f" y="%.0f" fill="#555555">%s</text>`+"\n", p.left, p.top-5, p.what)
	for _, v := range xs {
		fmt.Fprintf(p.b, `<path d="M%.1f %.1fV%.1f" stroke="#dddddd"/><text x="%.1f" y="%.1f" text-anchor="middle">%g</text>`+"\n", p.x(v), p.top, p.top+p.high, p.x(v), p.top+p.high+16, round(v))
	}
	for _, v := range ys {
		fmt.Fprintf(p.b, `<path d="M%.1f %.1fH%.1f" stroke="#dddddd"/><text x="%.1f" y="%.1f" text-anchor="end">%g</text>`+"\n", p.left, p.y(v), p.left+p.wide, p.left-6, p.y(v)+4, round(v))
	}
	fmt.Fprintf(p.b, `<text x="%.0f" y="%.0f" text-anchor="middle" fill="#555555">%s</text>`+"\n", p.left+p.wide/2, p.top+p.high+34, p.xName)
}

func round(v float64) float64 { return math.Round(v*1000) / 1000 }

// curve draws a line through points, and its name as the i-th of the key.
func (p *panel) curve(points [][2]float64, colour, name string, i int) {
	var path strings.Builder
	for k, at := range points {
		fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(k, 1)], p.x(at[0]), p.y(at[1]))
	}
	fmt.Fprintf(p.b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", path.String(), colour)
	y := p.top + 16 + 16*float64(i)
	fmt.Fprintf(p.b, `<path d="M%.0f %.0fh18" stroke="%s" stroke-width="3"/><text x="%.0f" y="%.0f">%s</text>`+"\n", p.left+10, y-4, colour, p.left+34, y, name)
}
