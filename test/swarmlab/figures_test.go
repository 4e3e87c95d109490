package swarmlab

import (
	"testing"
	"time"
)

func TestLimit(t *testing.T) {
	const mib = 1 << 20
	for name, tc := range map[string]struct {
		plan Plan
		last time.Duration
		want time.Duration
	}{
		"equal links":              {Plan{Layout: Layout{Heads: 1, Nodes: 8, Racks: 1, Link: mib}}, 0, 10 * time.Second},
		"the last one comes late":  {Plan{Layout: Layout{Heads: 1, Nodes: 8, Racks: 1, Link: mib}}, 3 * time.Second, 13 * time.Second},
		"three origins":            {Plan{Layout: Layout{Heads: 3, Nodes: 8, Racks: 1, Link: mib}}, 0, 10 * time.Second},
		"one server":               {Plan{System: HTTP, Layout: Layout{Heads: 1, Nodes: 8, Racks: 1, Link: mib}}, 0, 80 * time.Second},
		"an uplink like a link":    {Plan{Layout: Layout{Heads: 1, Nodes: 8, Racks: 2, Link: mib, Uplink: mib}}, 0, 10 * time.Second},
		"an uplink of half a link": {Plan{Layout: Layout{Heads: 1, Nodes: 8, Racks: 2, Link: mib, Uplink: mib / 2}}, 0, 20 * time.Second},
	} {
		if got := tc.plan.Limit(10*mib, tc.last); got.Round(time.Millisecond) != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	values := []float64{4, 1, 3, 2}
	for q, want := range map[float64]float64{0: 1, 0.5: 2, 0.75: 3, 0.99: 4, 1: 4} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile %v of %v: got %v, want %v", q, values, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing: got %v", got)
	}
}

func TestBusyProcessors(t *testing.T) {
	got, err := parseBusy("cpu  100 20 30 4000 500 6 7 8 0 0\ncpu0 1 2 3\n")
	if want := 1710 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "cpu a b c d e f g h", "intr 1 2 3 4 5 6 7 8"} {
		if _, err := parseBusy(bad); err == nil {
			t.Errorf("%q is taken for times of processors", bad)
		}
	}
}
