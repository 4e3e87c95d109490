package swarmlab

import (
	"context"
	"fmt"
	"slices"
)

// result puts together what was seen.
func (r *run) result(ctx context.Context, cpu Processors) (Result, error) {
	last, err := r.look()
	if err != nil {
		return Result{}, err
	}
	image := r.source.image().Size
	size := float64(image)
	s := Result{System: r.System, Nodes: r.Nodes, Scenario: r.Scenario, Image: image, Link: r.Link, Uplink: r.Uplink,
		Racks: r.Racks, Origins: r.Heads, CPU: cpu.Busy.Seconds(), CPUShare: cpu.Share(), CPUBound: cpu.Share() > busyShare}
	if err := r.times(&s); err != nil {
		return Result{}, err
	}
	r.bytes(&s, r.source.sent(ctx), last)
	for _, l := range append(r.looks, last) {
		s.Course.Traffic = append(s.Course.Traffic, Passed{At: l.at.Sub(r.base.at),
			Origin: float64(total(l.heads)-total(r.base.heads)) / size,
			Uplink: float64(l.uplink-r.base.uplink) / float64(r.Racks) / size})
	}
	return s, nil
}

// times fills in when nodes had the image, and how they came to it.
func (r *run) times(s *Result) error {
	r.crowd.mu.Lock()
	defer r.crowd.mu.Unlock()
	size := float64(s.Image)
	first, last := r.nodes[0].began, r.nodes[0].began
	for _, p := range r.nodes {
		if p.began.Before(first) {
			first = p.began
		}
		if p.began.After(last) {
			last = p.began
		}
	}
	var took, begun []float64
	for _, p := range r.nodes {
		var course []Share
		for _, c := range p.course {
			course = append(course, Share{c.At.Sub(first), float64(c.Have) / size})
		}
		s.Course.Nodes = append(s.Course.Nodes, course)
		if p.fault != "" {
			continue
		}
		s.Survivors++
		s.Makespan = max(s.Makespan, p.whole.Sub(first).Seconds())
		took = append(took, p.whole.Sub(p.began).Seconds())
		if at := slices.IndexFunc(p.course, func(c Point) bool { return c.Have > 0 }); at >= 0 {
			begun = append(begun, p.course[at].At.Sub(p.began).Seconds())
		}
		peak, err := peakMemory(p.cmd.Process.Pid)
		if err != nil {
			return fmt.Errorf("memory of peer %s: %w", p.Name, err)
		}
		s.RSS = max(s.RSS, float64(peak)/(1<<20))
	}
	s.Seconds = took
	s.P50, s.P99 = quantile(took, 0.5), quantile(took, 0.99)
	s.BegunFirst, s.BegunLast = quantile(begun, 0), quantile(begun, 1)
	s.Limit = r.Plan.Limit(s.Image, last.Sub(first)).Seconds()
	r.base.at = first
	return nil
}

// bytes fills in what origins sent, by their own account as far as they live and keep one.
func (r *run) bytes(s *Result, own []int64, last passed) {
	size := float64(s.Image)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, h := range r.site.Heads {
		wire := last.heads[i] - r.base.heads[i]
		s.WireRatio += float64(wire) / size
		if own != nil && !r.killed[h] {
			wire = own[i]
		}
		s.Origin = append(s.Origin, wire)
	}
	var control int64
	for _, p := range r.nodes {
		control += p.Latest().FromControl
	}
	s.ControlRatio = float64(control) / size
	s.OriginRatio = float64(total(s.Origin)) / size
	if own != nil {
		s.OriginRatio += s.ControlRatio // which is in no origin's own account
	}
	s.UplinkRatio = float64(last.uplink-r.base.uplink) / float64(r.Racks) / size
}

// Computed returns the result of a plan that is not carried out: what an ideal server over these links takes.
func (p Plan) Computed() Result {
	limit := p.Limit(p.Size, 0).Seconds()
	return Result{System: p.System, Nodes: p.Nodes, Scenario: p.Scenario, Makespan: limit, Limit: limit, P50: limit, P99: limit,
		OriginRatio: float64(p.Nodes), WireRatio: float64(p.Nodes), Image: p.Size, Link: p.Link, Racks: p.Racks,
		Origins: p.Heads, Survivors: p.Nodes, Computed: true}
}

func total(list []int64) int64 {
	var sum int64
	for _, n := range list {
		sum += n
	}
	return sum
}
