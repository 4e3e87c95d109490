package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// A LabRun is a swarm of real processes that was measured, as out/bench-swarm.json has it.
type LabRun struct {
	System      string  `json:"system"` // samara, stock or http
	Nodes       int     `json:"nodes"`
	Scenario    string  `json:"scenario"`
	Makespan    float64 `json:"makespan_s"`
	Limit       float64 `json:"limit_s"`
	OriginRatio float64 `json:"origin_ratio"`
	CPUBound    bool    `json:"cpu_bound"` // the machine was the limit, not the links
	Size        int64   `json:"image_bytes"`
	Link        float64 `json:"link_bytes_per_s"`   // of every node and controller, each way
	Uplink      float64 `json:"uplink_bytes_per_s"` // of every rack; 0: no limit
	Racks       int     `json:"racks"`
	Origins     int     `json:"origins"` // controllers
}

const (
	maxLab = 8 << 20 // bytes of out/bench-swarm.json
	// labOverhead is what frames of Ethernet and headers of IP and TCP cost the lab's links, beyond 1.
	labOverhead = 0.045
)

// ReadLab reads what a lab wrote: an object whose "runs" are LabRuns.
func ReadLab(r io.Reader) ([]LabRun, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxLab+1))
	if err == nil && len(b) > maxLab {
		err = fmt.Errorf("longer than %d bytes", maxLab)
	}
	var file struct {
		Runs []LabRun `json:"runs"`
	}
	if err == nil {
		err = json.Unmarshal(b, &file)
	}
	if err != nil {
		return nil, fmt.Errorf("measurements of the lab: %w", err)
	}
	return file.Runs, nil
}

// Like returns the scenario that a run in the lab was, if all nodes began at once or half a second apart and nothing
// failed. It is false for other systems and other scenarios.
func (r LabRun) Like() (Scenario, bool) {
	if r.System != "samara" || r.Makespan <= 0 || r.Nodes < 1 || r.Racks < 0 {
		return Scenario{}, false
	}
	s := Scenario{Size: r.Size, Nodes: r.Nodes, RackSize: (r.Nodes + max(1, r.Racks) - 1) / max(1, r.Racks), Node: Class{Up: r.Link, Down: r.Link},
		RackUplink: r.Uplink, Controllers: r.Origins, ControllerRate: r.Link, Net: Net{Overhead: labOverhead}}
	switch {
	case r.Scenario == "at once", r.Uplink > 0:
	case r.Scenario == "0.5 s apart":
		s.Arrivals = []Arrival{{Nodes: r.Nodes, Over: time.Duration(r.Nodes) * 500 * time.Millisecond}}
	default:
		return Scenario{}, false
	}
	return s, s.check() == nil
}

// A Comparison is a run in the lab beside its simulation.
type Comparison struct {
	Lab   LabRun
	Model Result
}

// Off returns by which part of the measurement the model's makespan and egress are off.
func (c Comparison) Off() (makespan, egress float64) {
	makespan = c.Model.Makespan.Seconds()/c.Lab.Makespan - 1
	if c.Lab.OriginRatio > 0 {
		egress = c.Model.Origin/c.Lab.OriginRatio - 1
	}
	return makespan, egress
}

// Compare simulates those runs of the lab that it can. Where there is none, the error is ErrScenario.
func Compare(ctx context.Context, runs []LabRun) ([]Comparison, error) {
	var all []Comparison
	for _, r := range runs {
		s, ok := r.Like()
		if !ok {
			continue
		}
		result, err := Run(ctx, s)
		if err != nil {
			return all, fmt.Errorf("%d nodes as in the lab: %w", r.Nodes, err)
		}
		all = append(all, Comparison{r, result})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: the lab ran no swarm of Samara that can be simulated", ErrScenario)
	}
	return all, nil
}

// String is how c reads in a log.
func (c Comparison) String() string {
	makespan, egress := c.Off()
	bound := ""
	if c.Lab.CPUBound {
		bound = "; the lab's processors were the limit"
	}
	return fmt.Sprintf("%d nodes, %s: %v, the lab took %.1f s (%+.0f %%); %.2f images, the lab sent %.2f (%+.0f %%)%s", c.Lab.Nodes, c.Lab.Scenario,
		c.Model.Makespan.Round(time.Millisecond), c.Lab.Makespan, makespan*100, c.Model.Origin, c.Lab.OriginRatio, egress*100, bound)
}
