package swarmlab

import (
	"math"
	"slices"
	"time"
)

// A Result is what one run came to. Times are in seconds from the beginning of the first node, those of single nodes from
// their own. Ratios are to the size of the image. Nodes that were killed or frozen count in nothing but Nodes.
type Result struct {
	System      System  `json:"system"`
	Nodes       int     `json:"nodes"`
	Scenario    string  `json:"scenario"`
	Makespan    float64 `json:"makespan_s"` // until the last node had the image, verified
	Limit       float64 `json:"limit_s"`
	P50         float64 `json:"p50_s"`
	P99         float64 `json:"p99_s"`
	OriginRatio float64 `json:"origin_ratio"`  // payload that left the origins
	BegunFirst  float64 `json:"begun_first_s"` // until a node had its first bytes, verified: the first one to have them
	BegunLast   float64 `json:"begun_last_s"`  // the last one
	CPUBound    bool    `json:"cpu_bound"`     // the processors were busy for more than 85 % of the run
	RSS         float64 `json:"rss_mib"`       // the most RAM that a node's process had, without the image's file

	Computed     bool    `json:"computed,omitempty"`   // not measured: Limit stands for the times
	WireRatio    float64 `json:"origin_wire_ratio"`    // what the origins' interfaces counted
	ControlRatio float64 `json:"control_ratio"`        // of OriginRatio, what nodes had by range requests
	UplinkRatio  float64 `json:"uplink_ratio"`         // what racks received over their uplinks, as the mean of the racks
	CPU          float64 `json:"cpu_s"`                // of all processors, busy with anything
	CPUShare     float64 `json:"cpu_share"`            // busy part of the time there was
	Image        int64   `json:"image_bytes"`          // size of the image
	Link         int64   `json:"link_bytes_per_s"`     // of every head and node, each direction
	Uplink       int64   `json:"uplink_bytes_per_s"`   // of every rack; 0 is no limit
	Racks        int     `json:"racks"`                //
	Origins      int     `json:"origins"`              //
	Survivors    int     `json:"survivors"`            // nodes that were neither killed nor frozen
	Origin       []int64 `json:"origin_bytes_by_head"` // payload

	Seconds []float64 `json:"node_s,omitempty"` // that each survivor took, in ascending order

	Course Course `json:"-"`
}

// A Course is how a run went. Times count from the beginning of the first node.
type Course struct {
	Nodes   [][]Share
	Traffic []Passed
}

// A Share is which part of the image a node had at a time.
type Share struct {
	At   time.Duration
	Have float64
}

// Passed is what links had passed at a time, in images.
type Passed struct {
	At     time.Duration
	Origin float64 // out of the heads
	Uplink float64 // into the racks, as their mean
}

// quantile returns the q-quantile of values, which it sorts: the smallest that at least that part of them does not
// exceed. It is 0 of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[max(0, int(math.Ceil(q*float64(len(values))))-1)]
}
