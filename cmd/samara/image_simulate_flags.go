package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/seeder/simulate"
)

// simulateFlags are the flags of image simulate.
type simulateFlags struct {
	size, link, download, uplink, controllerLink string
	client                                       string
	nodes, rackSize, controllers                 int
	arrival                                      string
	slow, fail, freeze                           []string
	loseController                               []time.Duration
	seed                                         uint64
}

func (o *simulateFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.size, "size", "", "simulate an image of so many `bytes`, such as 4G or 750MiB, instead of one that was imported")
	f.IntVar(&o.nodes, "nodes", 0, "`number` of nodes, at most 20000")
	f.IntVar(&o.rackSize, "rack-size", 40, "`number` of nodes in a rack")
	f.StringVar(&o.link, "link", "10G", "`rate` of a node's link")
	f.StringVar(&o.download, "download", "", "`rate` at which a node receives, if it is not that of --link")
	f.StringVar(&o.client, "client", "11.2G", "`rate` at which a node's client can send and receive, both together, whatever the link; what was measured unless you know better")
	f.StringVar(&o.uplink, "uplink", "", "`rate` of a rack's uplink, each way (default: no limit)")
	f.IntVar(&o.controllers, "controllers", 0, "`number` of controllers (default: as many as there are, with --size 1)")
	f.StringVar(&o.controllerLink, "controller-link", "", "`rate` of a controller's link (default: as --link)")
	f.StringVar(&o.arrival, "arrival", "at-once", "`when` nodes begin: at-once, 30s, 10x30s or 80%@0s,20%@1m+10s")
	f.StringArrayVar(&o.slow, "slow", nil, "nodes with a slower link, as `PART:RATE`, such as 5%:1G (repeatable)")
	f.StringArrayVar(&o.fail, "fail", nil, "nodes that die, as `PART` or PART@TIME, such as 2%@5s (repeatable)")
	f.StringArrayVar(&o.freeze, "freeze", nil, "nodes that hang without a word, as `PART` or PART@TIME (repeatable)")
	f.DurationSliceVar(&o.loseController, "lose-controller", nil, "`time` at which a controller dies (repeatable)")
	f.Uint64Var(&o.seed, "seed", 0, "`number` that decides what chance decides")
}

// scenario is what the flags say, but for the size of an image that was imported and for failures that depend on it.
func (o *simulateFlags) scenario(changed func(string) bool) (simulate.Scenario, error) {
	s := simulate.Scenario{Nodes: o.nodes, RackSize: o.rackSize, Controllers: o.controllers, Seed: o.seed}
	for _, e := range []error{
		inRange("nodes", o.nodes, 1, simulate.MaxNodes, "such as --nodes 5000"),
		inRange("rack-size", o.rackSize, 1, simulate.MaxNodes, "the nodes that share a switch"),
	} {
		if e != nil {
			return s, e
		}
	}
	if changed("controllers") {
		if err := inRange("controllers", o.controllers, 1, simulate.MaxControllers, "usually 1, 3 or 5"); err != nil {
			return s, err
		}
	}
	if err := o.rates(&s); err != nil {
		return s, err
	}
	if changed("size") {
		n, err := parseSize("size", o.size)
		if err != nil {
			return s, err
		}
		s.Size = n
	}
	var err error
	s.Arrivals, err = parseArrival(o.arrival, o.nodes)
	return s, err
}

func inRange(flag string, n, least, most int, hint string) error {
	if n < least || n > most {
		return usagef("--%s %d: want %d to %d, %s", flag, n, least, most, hint)
	}
	return nil
}

// rates sets the rates of s.
func (o *simulateFlags) rates(s *simulate.Scenario) (err error) {
	set := func(to *float64, flag, text string, otherwise float64) {
		if *to = otherwise; text != "" && err == nil {
			*to, err = parseRate(flag, text)
		}
	}
	set(&s.Node.Up, "link", o.link, 0)
	set(&s.Node.Down, "download", o.download, s.Node.Up)
	set(&s.Node.Processor, "client", o.client, 0)
	set(&s.RackUplink, "uplink", o.uplink, 0)
	set(&s.ControllerRate, "controller-link", o.controllerLink, s.Node.Up)
	for _, text := range o.slow {
		part, link, ok := strings.Cut(text, ":")
		if !ok && err == nil {
			err = usagef("--slow %q: want how many nodes and their link, such as 5%%:1G", text)
		}
		if err != nil {
			return err
		}
		var c simulate.Class
		set(&c.Up, "slow", link, 0)
		c.Down, c.Processor = c.Up, s.Node.Processor
		if err == nil {
			c.Count, err = parsePart("slow", part, o.nodes)
		}
		s.Others = append(s.Others, c)
	}
	return err
}

// whenToFail adds the failures to s, whose size is known by now.
func (o *simulateFlags) whenToFail(s *simulate.Scenario) error {
	shortest := float64(s.Size) / min(s.Node.Down, s.ControllerRate*float64(max(1, s.Controllers)))
	half := time.Duration(shortest / 2 * float64(time.Second))
	for _, kind := range []struct {
		flag  string
		kind  simulate.Fault
		texts []string
	}{{"fail", simulate.Dies, o.fail}, {"freeze", simulate.Freezes, o.freeze}} {
		for _, text := range kind.texts {
			part, when, timed := strings.Cut(text, "@")
			f := simulate.Failure{Kind: kind.kind, At: half}
			var err error
			if f.Count, err = parsePart(kind.flag, part, s.Nodes); err == nil && timed {
				f.At, err = parseMoment(kind.flag, when)
			}
			if err != nil {
				return err
			}
			s.Failures = append(s.Failures, f)
		}
	}
	for _, at := range o.loseController {
		if at < 0 {
			return usagef("--lose-controller %v: want a time from the start, such as 3s", at)
		}
		s.Failures = append(s.Failures, simulate.Failure{Kind: simulate.ControllerDies, Count: 1, At: at})
	}
	failing := 0
	for _, f := range s.Failures {
		if f.Kind != simulate.ControllerDies {
			failing += f.Count
		}
	}
	if n := len(o.loseController); n >= max(1, s.Controllers) {
		return usagef("--lose-controller: all %d controllers would die; leave one, or say --controllers %d", n, n+1)
	} else if failing >= s.Nodes {
		return usagef("--fail and --freeze: all %d nodes would fail; leave one", s.Nodes)
	}
	return nil
}

// parseArrival reads the value of --arrival.
func parseArrival(text string, nodes int) ([]simulate.Arrival, error) {
	if text == "at-once" {
		return nil, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return []simulate.Arrival{{Nodes: nodes, Over: d}}, nil
	}
	if waves, apart, ok := strings.Cut(text, "x"); ok {
		n, err := strconv.Atoi(waves)
		d, e := time.ParseDuration(apart)
		if err != nil || e != nil || n < 1 || n > nodes || d < 0 {
			return nil, usagef("--arrival %q: want waves, at most one for each node, and how far apart they are, such as 10x30s", text)
		}
		var all []simulate.Arrival
		for i := range n {
			all = append(all, simulate.Arrival{Nodes: nodes*(i+1)/n - nodes*i/n, At: time.Duration(i) * d})
		}
		return all, nil
	}
	return parseArrivals(text, nodes)
}

// parseArrivals reads a list such as 80%@0s,20%@1m+10s.
func parseArrivals(text string, nodes int) ([]simulate.Arrival, error) {
	var all []simulate.Arrival
	left := nodes
	for item := range strings.SplitSeq(text, ",") {
		part, when, ok := strings.Cut(item, "@")
		if !ok {
			return nil, usagef("--arrival %q: want at-once, a duration such as 30s, waves such as 10x30s, or parts such as 80%%@0s,20%%@1m", text)
		}
		n, err := parsePart("arrival", part, nodes)
		if err != nil {
			return nil, err
		}
		at, over, spread := strings.Cut(when, "+")
		a := simulate.Arrival{Nodes: min(n, left)}
		if a.At, err = parseMoment("arrival", at); err == nil && spread {
			a.Over, err = parseMoment("arrival", over)
		}
		if err != nil {
			return nil, err
		}
		left -= n
		all = append(all, a)
	}
	if left < -len(all) || left > len(all) { // percents are rounded
		return nil, usagef("--arrival %q: the parts are %d of %d nodes; want all, such as 80%%@0s,20%%@1m", text, nodes-left, nodes)
	}
	all[0].Nodes += max(0, left)
	return all, nil
}

func parseMoment(flag, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, usagef("--%s: bad time %q; want one such as 5s or 2m", flag, text)
	}
	return d, nil
}

// parsePart reads how many of some nodes: 100, or 2%, which is one at least.
func parsePart(flag, text string, of int) (int, error) {
	percent, isPercent := strings.CutSuffix(text, "%")
	if isPercent {
		p, err := strconv.ParseFloat(percent, 64)
		if err != nil || !(p >= 0 && p <= 100) {
			return 0, usagef("--%s: bad part %q; want 0%% to 100%%", flag, text)
		}
		n := int(math.Round(p / 100 * float64(of)))
		if p > 0 {
			n = max(1, n)
		}
		return n, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > of {
		return 0, usagef("--%s: bad part %q; want how many of the %d nodes, such as 100 or 2%%", flag, text, of)
	}
	return n, nil
}

// Bounds of rates and sizes.
const (
	leastRate = 1e6 / 8
	mostRate  = simulate.MaxRate
	mostSize  = simulate.MaxSize
)

// parseRate reads a rate in bits per second, such as 10G, and returns it in bytes per second.
func parseRate(flag, text string) (float64, error) {
	number := text
	for _, suffix := range []string{"bit/s", "b/s", "bps", "bit"} {
		if cut, ok := strings.CutSuffix(text, suffix); ok {
			number = cut
			break
		}
	}
	v, err := scaled(number, false)
	switch v /= 8; {
	case err != nil:
		return 0, usagef("--%s: bad rate %q; want bits per second, such as 10G or 2.5G", flag, text)
	case v < leastRate || v > mostRate:
		return 0, usagef("--%s %s: want a rate of 1M to 8000G, in bits per second, such as 10G", flag, text)
	}
	return v, nil
}

// parseSize reads a size in bytes, such as 4G or 750MiB.
func parseSize(flag, text string) (int64, error) {
	v, err := scaled(strings.TrimSuffix(text, "B"), true)
	switch {
	case err != nil:
		return 0, usagef("--%s: bad size %q; want bytes, such as 4G or 750MiB", flag, text)
	case v < 1 || v > mostSize:
		return 0, usagef("--%s %s: want a size of 1 byte to %d GiB, such as 4G", flag, text, int64(mostSize)>>30)
	}
	return int64(v), nil
}

// scaled reads a number with k, K, M, G or T after it for a power of 1000 or, if binary is allowed, with Ki to Ti for one of 1024.
func scaled(text string, binary bool) (float64, error) {
	base := 1000.0
	if cut, ok := strings.CutSuffix(text, "i"); ok && binary {
		base, text = 1024, cut
	}
	power := 0
	if n := len(text); n > 0 {
		if i := strings.IndexByte("KMGT", text[n-1]); i >= 0 {
			power, text = i+1, text[:n-1]
		} else if text[n-1] == 'k' {
			power, text = 1, text[:n-1]
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q: %w", text, errors.Join(strconv.ErrSyntax, err))
	}
	return v * math.Pow(base, float64(power)), nil
}
