// Package chart draws plots of lines as SVG: panels in two columns, readable on light and on dark paper.
package chart

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Chart is panels under a title.
type Chart struct {
	Title, Note string
	Panels      []Panel
}

// A Panel is one plot.
type Panel struct {
	Title string
	X, Y  Axis
	Lines []Line
	Marks []Mark
}

// An Axis is one of a panel's two.
type Axis struct {
	Name  string
	Log   bool      // only for values above 0
	Ticks []float64 // nil: chosen
}

// A Mark is a vertical line with a name.
type Mark struct {
	X    float64
	Name string
}

// A Line is a line of a panel. Lines without a name are not in its legend.
type Line struct {
	Name   string
	Color  Color
	Points []Point
	Thin   bool // one of many
	Dashed bool
	Dots   bool // at its points
}

// A Point is in the units of the axes.
type Point struct{ X, Y float64 }

// A Color is one that stands out from white and from black.
type Color string

// The colours.
const (
	Blue   Color = "#3987e5"
	Orange Color = "#d9822b"
	Rose   Color = "#c2557a"
	Grey   Color = "#808080"
)

// Measures, in pixels.
const (
	panelWidth, panelHeight           = 560, 380
	left, right, above, below         = 64, 18, 66, 52
	header                            = 64
	plotWidth                         = panelWidth - left - right
	plotHeight                        = panelHeight - above - below
	columns                           = 2
	maxPoints                         = 80 // of a line; more are not seen
	titleSize, textSize, smallestSize = 17, 12, 11
)

// WriteSVG writes the chart.
func (c Chart) WriteSVG(to io.Writer) error {
	rows := (len(c.Panels) + columns - 1) / columns
	width, height := columns*panelWidth, header+rows*panelHeight
	w := &drawing{Writer: bufio.NewWriter(to)}
	w.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" font-family="system-ui, sans-serif" fill="%s">`+"\n",
		width, height, width, Grey)
	w.printf("<title>%s</title>\n", escape(c.Title))
	w.text(left, 28, titleSize, "start", "bold", c.Title)
	w.text(left, 48, textSize, "start", "normal", c.Note)
	for i, p := range c.Panels {
		w.printf(`<g transform="translate(%d %d)">`+"\n", i%columns*panelWidth, header+i/columns*panelHeight)
		p.draw(w)
		w.printf("</g>\n")
	}
	w.printf("</svg>\n")
	return w.Flush()
}

// A drawing is an SVG being written; Flush returns the first error.
type drawing struct{ *bufio.Writer }

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(d, format, args...) }

func (d *drawing) text(x, y float64, size int, anchor, weight, s string) {
	d.printf(`<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s" font-weight="%s">%s</text>`+"\n", x, y, size, anchor, weight, escape(s))
}

func (d *drawing) line(x1, y1, x2, y2 float64, style string) {
	d.printf(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" %s/>`+"\n", x1, y1, x2, y2, Grey, style)
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

func (p Panel) draw(d *drawing) {
	x, y := p.scales()
	d.text(left, 16, textSize+1, "start", "bold", p.Title)
	p.legend(d)
	for _, t := range y.ticks {
		d.line(left, y.at(t), left+plotWidth, y.at(t), `stroke-opacity="0.25"`)
		d.text(left-8, y.at(t)+4, smallestSize, "end", "normal", number(t))
	}
	for _, t := range x.ticks {
		d.line(x.at(t), above+plotHeight, x.at(t), above+plotHeight+5, "")
		d.text(x.at(t), above+plotHeight+19, smallestSize, "middle", "normal", number(t))
	}
	d.line(left, above+plotHeight, left+plotWidth, above+plotHeight, "")
	d.text(left+plotWidth/2, panelHeight-12, textSize, "middle", "normal", p.X.Name)
	d.printf(`<text transform="translate(16 %d) rotate(-90)" font-size="%d" text-anchor="middle">%s</text>`+"\n",
		above+plotHeight/2, textSize, escape(p.Y.Name))
	for _, m := range p.Marks {
		d.line(x.at(m.X), above-14, x.at(m.X), above+plotHeight, `stroke-dasharray="2 4" stroke-width="1.5"`)
		d.text(x.at(m.X)+4, above-4, smallestSize, "start", "normal", m.Name)
	}
	for _, l := range p.Lines {
		l.draw(d, x, y)
	}
}

// legend names the lines in one row below the title.
func (p Panel) legend(d *drawing) {
	at := float64(left)
	for _, l := range p.Lines {
		if l.Name == "" {
			continue
		}
		dash := ""
		if l.Dashed {
			dash = `stroke-dasharray="5 4"`
		}
		d.printf(`<line x1="%.1f" y1="34" x2="%.1f" y2="34" stroke="%s" stroke-width="2.5" %s/>`+"\n", at, at+22, l.Color, dash)
		d.text(at+28, 38, textSize, "start", "normal", l.Name)
		at += 28 + 6.6*float64(len(l.Name)) + 18 // about the width of the text
	}
}

func (l Line) draw(d *drawing, x, y scale) {
	points := thinned(l.Points)
	style := `stroke-width="2.5"`
	if l.Thin {
		style = `stroke-width="1" stroke-opacity="0.45"`
	}
	if l.Dashed {
		style += ` stroke-dasharray="5 4"`
	}
	d.printf(`<polyline fill="none" stroke="%s" stroke-linejoin="round" %s points="`, l.Color, style)
	for _, p := range points {
		d.printf("%.1f,%.1f ", x.at(p.X), y.at(p.Y))
	}
	d.printf("\"/>\n")
	if l.Dots {
		for _, p := range points {
			d.printf(`<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`+"\n", x.at(p.X), y.at(p.Y), l.Color)
		}
	}
}

// thinned returns maxPoints of points at most, the first and the last among them.
func thinned(points []Point) []Point {
	if len(points) <= maxPoints {
		return points
	}
	var kept []Point
	for i := range maxPoints {
		kept = append(kept, points[i*(len(points)-1)/(maxPoints-1)])
	}
	return kept
}

// A scale maps values of an axis to pixels.
type scale struct {
	from, to   float64 // the axis' ends, logarithms on a logarithmic one
	begin, end float64 // pixels
	log        bool
	ticks      []float64
}

func (s scale) at(v float64) float64 {
	if s.log {
		v = math.Log(max(v, math.SmallestNonzeroFloat64))
	}
	return s.begin + (v-s.from)/(s.to-s.from)*(s.end-s.begin)
}

// scales fits both axes to all that the panel holds.
func (p Panel) scales() (x, y scale) {
	var xs, ys []float64
	for _, l := range p.Lines {
		for _, q := range l.Points {
			xs, ys = append(xs, q.X), append(ys, q.Y)
		}
	}
	for _, m := range p.Marks {
		xs = append(xs, m.X)
	}
	return p.X.scale(xs, left, left+plotWidth), p.Y.scale(ys, above+plotHeight, above)
}

func (a Axis) scale(values []float64, begin, end float64) scale {
	s := scale{begin: begin, end: end, log: a.Log, ticks: a.Ticks}
	values = append(slices.Clone(values), a.Ticks...)
	if len(values) == 0 {
		values = []float64{1}
	}
	low, high := slices.Min(values), slices.Max(values)
	if a.Log {
		// A little more than the values need, so that no dot lies on the edge.
		s.from, s.to = math.Log(low)-0.15, math.Log(high)+0.15
		return s
	}
	if s.ticks == nil {
		s.ticks = steps(high)
	}
	s.from, s.to = 0, max(high*1.04, s.ticks[len(s.ticks)-1])
	return s
}

// steps returns round values from 0 to about high.
func steps(high float64) []float64 {
	if high <= 0 {
		return []float64{0, 1}
	}
	step := math.Pow(10, math.Floor(math.Log10(high)))
	for _, part := range []float64{0.1, 0.2, 0.25, 0.5, 1} {
		if high/(step*part) <= 7 {
			step *= part
			break
		}
	}
	var ticks []float64
	for i := 0; float64(i)*step <= high*1.0001; i++ {
		ticks = append(ticks, float64(i)*step)
	}
	return ticks
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
