package swarmlab

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/test/lab"
)

// What `samara node list` says of nodes that are avoided.
const (
	corrupts = "sends corrupt pieces"
	stalls   = "keeps peers waiting"
	breaks   = "breaks the protocol"
	floods   = "floods peers with calls"
)

// toldEvery is how often it is looked at what people are told.
const toldEvery = time.Second

// What a controller tells people at one moment.
type told struct {
	list    string // samara node list, a line for each node
	metrics string
	status  string // its problems, a line each
}

// tells asks a controller.
func (s *swarmOfAll) tells(c *lab.Controller) told {
	s.t.Helper()
	list, err := c.Run(s.ctx, "node", "list", "-o", "csv") // in a table alike nodes share a line
	s.must(err)
	metrics, err := getText(s.ctx, c.Host, fmt.Sprintf("http://%s/metrics", metricsOf(c.Host)))
	s.must(err)
	client := c.Client()
	defer client.Close()
	status, err := client.Status(s.ctx)
	s.must(err)
	t := told{list: list, metrics: metrics}
	for _, p := range status.Problems {
		t.status += p.What + "\n"
	}
	return t
}

// says reports whether the list says something of a node.
func (t told) says(node, words string) bool {
	for line := range strings.Lines(t.list) {
		if name, rest, _ := strings.Cut(line, ","); name == node && strings.Contains(rest, words) {
			return true
		}
	}
	return false
}

// counts reports whether the metrics count a fault of a node, or of the machine at an address.
func (t told) counts(node, address string, fault fleet.PeerFault) bool {
	return strings.Contains(t.metrics, fmt.Sprintf("samara_swarm_faults{address=%q,fault=%q,node=%q}", address, fault, node))
}

// watch looks at what people are told until every controller has named all rogues and the stranger, in the list and in
// the metrics at once. It finds that no honest node is named.
func (s *swarmOfAll) watch() {
	s.t.Helper()
	missing := map[string]bool{}
	for _, c := range s.Controllers {
		for node := range s.rogues {
			missing[c.Host.ID+" of "+node] = true
		}
		missing[c.Host.ID+" of the stranger"] = true
	}
	tick := time.NewTicker(toldEvery)
	defer tick.Stop()
	var last told
	for len(missing) > 0 {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			s.t.Fatalf("people are not told by %v; the last list, problems and faults:\n%s%s%s\nthe peers:\n%s", slices.Sorted(maps.Keys(missing)),
				last.list, last.status, faultLines(last.metrics), s.crowd)
		}
		for _, c := range s.Controllers {
			last = s.tells(c)
			for node, r := range s.rogues {
				if last.says(node, r.words) && last.counts(node, s.address(node), r.fault) {
					delete(missing, c.Host.ID+" of "+node)
				}
			}
			if a := s.stranger.Host.Address.String(); last.counts(a, a, fleet.FaultStranger) && strings.Contains(last.status, a+" is no member of the cluster") {
				delete(missing, c.Host.ID+" of the stranger")
			}
			s.honestAreNot(last)
		}
	}
	s.t.Logf("faults that %s counts:\n%s", s.Controllers[0].Host.ID, faultLines(s.tells(s.Controllers[0]).metrics))
}

// honestAreNot finds that nobody is told of an honest node that it is to be avoided, or that it sent bad bytes.
func (s *swarmOfAll) honestAreNot(t told) {
	s.t.Helper()
	for _, p := range s.honest {
		for _, words := range []string{corrupts, stalls, breaks, floods} {
			if t.says(p.Host.ID, words) {
				s.t.Errorf("of the honest %s it is said that it %s:\n%s", p.Host.ID, words, faultLines(t.metrics))
			}
		}
		if t.counts(p.Host.ID, p.Host.Address.String(), fleet.FaultCorrupt) {
			s.t.Errorf("somebody complains of corrupt pieces of the honest %s:\n%s", p.Host.ID, faultLines(t.metrics))
		}
	}
}

// address returns the address of a node.
func (s *swarmOfAll) address(node string) string {
	for _, h := range s.Nodes {
		if h.ID == node {
			return h.Address.String()
		}
	}
	s.t.Fatalf("there is no node %s", node)
	return ""
}

// faultLines returns what metrics have of faults.
func faultLines(metrics string) string {
	var out strings.Builder
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "samara_swarm_faults{") {
			out.WriteString(line)
		}
	}
	return out.String()
}
