package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestChartsAreXML(t *testing.T) {
	many := make([]Point, 1000)
	for i := range many {
		many[i] = Point{float64(i), float64(i * i)}
	}
	for name, c := range map[string]Chart{
		"nothing": {},
		"a title": {Title: "a < b & c", Note: `"quoted"`},
		"panels": {Panels: []Panel{
			{Title: "empty"},
			{Title: "one point", X: Axis{Log: true, Ticks: []float64{8}}, Y: Axis{Log: true}, Lines: []Line{{Name: "a", Color: Blue, Dots: true, Points: []Point{{8, 2}}}}},
			{Title: "many", Lines: []Line{{Color: Rose, Points: many}}, Marks: []Mark{{X: 3, Name: "<limit>"}}},
		}},
	} {
		var b strings.Builder
		if err := c.WriteSVG(&b); err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(strings.NewReader(b.String()))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v in\n%s", name, err, b.String())
			}
		}
		if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
			t.Errorf("%s: it has numbers that are none:\n%s", name, b.String())
		}
	}
}

func TestStepsAreRound(t *testing.T) {
	for high, want := range map[float64][]float64{
		1: {0, 0.2, 0.4, 0.6, 0.8, 1}, 3.3: {0, 0.5, 1, 1.5, 2, 2.5, 3}, 60: {0, 10, 20, 30, 40, 50, 60}, 0: {0, 1},
	} {
		got := steps(high)
		for i := range got {
			got[i] = float64(int(got[i]*1000+0.5)) / 1000
		}
		if !slices.Equal(got, want) {
			t.Errorf("steps to %v: got %v, want %v", high, got, want)
		}
	}
}

func TestLongLinesKeepTheirEnds(t *testing.T) {
	var points []Point
	for i := range 777 {
		points = append(points, Point{float64(i), 0})
	}
	got := thinned(points)
	if len(got) != maxPoints || got[0] != points[0] || got[len(got)-1] != points[776] {
		t.Errorf("got %d points from %v to %v", len(got), got[0], got[len(got)-1])
	}
}
