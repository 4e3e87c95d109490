package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet/hostlist"
	"github.com/samara-hpc/samara/internal/api"
)

// Bounds of what one screen shows of a swarm.
const (
	maxSwarmRows = 10 // of racks that are under way, of stragglers and of suspects
	shareWidth   = 20
)

// swarmText writes a swarm on one screen; on one line if there is nothing to see to.
func swarmText(v api.SwarmView, now time.Time) string {
	if swarmIsWell(v) {
		return swarmLine(v) + "\n"
	}
	var b strings.Builder
	for i, t := range []table{swarmTable(v), rackTable(v.Racks), originTable(v.Controllers), stragglerTable(v.Stragglers), suspectTable(v.Suspects, now)} {
		if len(t.rows) == 0 {
			continue
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		_ = t.write(&b) // a Builder takes all
	}
	return b.String()
}

// swarmIsWell reports whether every node holds the image, and nothing about it needs to be seen to.
func swarmIsWell(v api.SwarmView) bool {
	idle := func(c api.SwarmController) bool { return !c.Alive || !c.Offers }
	return v.Nodes.Complete == v.Nodes.Total && len(v.Stragglers) == 0 && len(v.Suspects) == 0 && !slices.ContainsFunc(v.Controllers, idle)
}

// swarmLine writes "all 312 nodes hold debian:3, 3 of them send nothing now; controllers sent 1.03 images", or how far
// they are.
func swarmLine(v api.SwarmView) string {
	n, sent := v.Nodes, fmt.Sprintf("controllers sent %.2f images", v.Ratio)
	switch {
	case n.Total == 0:
		return fmt.Sprintf("no node boots %s; %s", v.Image, sent)
	case n.Complete == n.Total && n.Total == 1 && n.Paused == 1:
		return fmt.Sprintf("the one node that boots %s holds it, and sends nothing now; %s", v.Image, sent)
	case n.Complete == n.Total && n.Total == 1 && n.Ended == 1:
		return fmt.Sprintf("the one node that boots %s holds it, and sends nothing any more; %s", v.Image, sent)
	case n.Complete == n.Total && n.Total == 1:
		return fmt.Sprintf("the one node that boots %s holds it; %s", v.Image, sent)
	}
	line := fmt.Sprintf("%d of %s hold %s", n.Complete, count(n.Total, "node"), v.Image)
	if n.Complete == n.Total {
		line = fmt.Sprintf("all %d nodes hold %s", n.Total, v.Image)
	}
	line += silence(", %d of them %s nothing ", n)
	if n.Fetching > 0 {
		line += fmt.Sprintf(", %d fetch it at %s/s", n.Fetching, size(v.Rate))
	}
	if n.Silent > 0 {
		line += fmt.Sprintf(", %d silent", n.Silent)
	}
	return line + "; " + sent
}

// silence says of how many nodes that hold an image nothing comes of it, now or any more, each in that form.
func silence(form string, n api.SwarmNodes) (words string) {
	for _, one := range [...]struct {
		count int
		until string
	}{{n.Paused, "now"}, {n.Ended, "any more"}} {
		if one.count > 0 {
			words += fmt.Sprintf(form, one.count, map[bool]string{true: "sends", false: "send"}[one.count == 1]) + one.until
		}
	}
	return words
}

func swarmTable(v api.SwarmView) table {
	n := v.Nodes
	nodes := fmt.Sprintf("%d of %d hold it, %d fetching, %d silent", n.Complete, n.Total, n.Fetching, n.Silent)
	nodes += silence("; %d of those that hold it %s nothing ", n)
	rate := size(v.Rate) + "/s to nodes"
	if v.ETA > 0 {
		rate += ", " + span(v.ETA) + " left"
	}
	var t table
	t.add("image", fmt.Sprintf("%s, %s in %s", v.Image, size(v.Size), count(v.Pieces, "piece")))
	t.add("nodes", nodes)
	t.add("rate", rate)
	t.add("controllers", fmt.Sprintf("sent %s to nodes, %.2f images", size(v.Sent), v.Ratio))
	return t
}

// rackTable shows racks that are all the way, and racks that have not begun, as one line each; of the others those that
// are furthest behind first.
func rackTable(racks []api.SwarmRack) table {
	t := table{head: []string{"RACK", "NODES", "COMPLETE", "HAVE"}}
	var done, untouched, partly []api.SwarmRack
	for _, r := range racks {
		switch {
		case r.Complete == r.Nodes:
			done = append(done, r)
		case r.Have == 0:
			untouched = append(untouched, r)
		default:
			partly = append(partly, r)
		}
	}
	slices.SortStableFunc(partly, func(a, b api.SwarmRack) int { return cmp.Compare(a.Have, b.Have) })
	shown, rest := head(partly, maxSwarmRows)
	for _, r := range shown {
		addRacks(&t, rackNames(r), r)
	}
	addRacks(&t, count(len(rest), "more rack"), rest...)
	addRacks(&t, rackNames(untouched...), untouched...)
	addRacks(&t, rackNames(done...), done...)
	return t
}

// addRacks adds a line for racks under a name, if there are any.
func addRacks(t *table, name string, racks ...api.SwarmRack) {
	var sum api.SwarmRack
	for _, r := range racks {
		sum.Nodes += r.Nodes
		sum.Complete += r.Complete
		sum.Have += r.Have * float64(r.Nodes)
	}
	if sum.Nodes > 0 {
		t.add(name, strconv.Itoa(sum.Nodes), strconv.Itoa(sum.Complete), bar(sum.Have/float64(sum.Nodes)))
	}
}

// rackNames folds the names of racks; "-" stands for none.
func rackNames(racks ...api.SwarmRack) string {
	var names []string
	unnamed := false
	for _, r := range racks {
		if r.Name == "" {
			unnamed = true
			continue
		}
		names = append(names, r.Name)
	}
	folded := hostlist.Fold(names)
	switch {
	case !unnamed:
		return folded
	case folded == "":
		return "-"
	}
	return folded + ",-"
}

// bar writes a share from 0 to 1 as "########------------  40%". Only the whole is 100%.
func bar(share float64) string {
	share = min(max(share, 0), 1)
	full := int(share * shareWidth)
	return strings.Repeat("#", full) + strings.Repeat("-", shareWidth-full) + fmt.Sprintf(" %3d%%", int(share*100))
}

func originTable(all []api.SwarmController) table {
	t := table{head: []string{"CONTROLLER", "STATE", "PEERS", "SENT", "IMAGES", "COPIED", "RATE", "UNSENT"}}
	for _, c := range all {
		state := "offers it"
		switch {
		case !c.Alive:
			state = "down"
		case !c.Offers:
			state = "lacks it"
		}
		t.add(c.ID, state, strconv.Itoa(c.Peers), size(c.Sent), fmt.Sprintf("%.2f", c.Ratio), size(c.Copied), size(c.Rate)+"/s", count(c.Unsent, "piece"))
	}
	return t
}

func stragglerTable(all []api.Straggler) table {
	t := table{head: []string{"STRAGGLER", "RACK", "HAVE", "RATE", "WHY"}}
	shown, rest := head(all, maxSwarmRows)
	for _, s := range shown {
		t.add(s.Node, orDash(s.Rack), bar(s.Have), size(s.Rate)+"/s", orDash(s.Reason))
	}
	if len(rest) > 0 {
		t.add(count(len(rest), "more node"))
	}
	return t
}

func suspectTable(all []api.Suspect, now time.Time) table {
	t := table{head: []string{"SUSPECT", "ADDRESS", "WHAT FOR", "TIMES", "BY", "LAST", "ASKED"}}
	shown, rest := head(all, maxSwarmRows)
	for _, s := range shown {
		asked := "still"
		if s.Avoided {
			asked = "no more"
		}
		t.add(orDash(s.Node), s.Peer.String(), s.What(), strconv.Itoa(s.Count), count(s.Complainers, "peer"), ago(s.Last, now), asked)
	}
	if len(rest) > 0 {
		t.add(count(len(rest), "more suspect"))
	}
	return t
}

// head returns the first n of all, and the others. It does not part one from the rest: a line for it costs as much as
// the line that would stand for it.
func head[T any](all []T, n int) (first, rest []T) {
	if len(all) <= n+1 {
		return all, nil
	}
	return all[:n], all[n:]
}
