// Package observe keeps what a controller has seen of boots and of unknown machines. It is soft state: bounded, in
// memory, and lost with the process but for what agents report again.
package observe

import (
	"slices"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// Bounds of a Journal's memory.
const (
	maxBootsPerNode = 4    // the present boot and the ones before it
	maxUnknown      = 4096 // machines; the one heard of longest ago makes room
	maxPhases       = 64   // of one boot
)

// A Journal records boots by node and unknown machines by MAC. Its methods may be called from any goroutine.
type Journal struct {
	nodeOf func(fleet.MAC) (string, bool)
	now    func() time.Time

	mu      sync.Mutex
	boots   map[string][]*boot // by node, newest last
	unknown map[fleet.MAC]machine
	changes uint64        // counts what was observed here
	changed chan struct{} // closed at the next of them
}

// A boot is what is known of one boot of one node.
type boot struct {
	fleet.Boot
	change uint64 // the last one by which this controller observed something of it; 0 if others did it all
}

// A machine is what is known of one that no node claims.
type machine struct {
	fleet.UnknownMachine
	change uint64 // as a boot's
}

// New returns an empty journal. nodeOf names the node that has a MAC now; now is the clock.
func New(nodeOf func(fleet.MAC) (string, bool), now func() time.Time) *Journal {
	return &Journal{nodeOf: nodeOf, now: now, boots: map[string][]*boot{}, unknown: map[fleet.MAC]machine{}, changed: make(chan struct{})}
}

// observed numbers an observation and wakes those that wait for one. The caller holds j.mu.
func (j *Journal) observed() uint64 {
	j.changes++
	close(j.changed)
	j.changed = make(chan struct{})
	return j.changes
}

// Phase records that the machine with that MAC reached a phase that a controller sees. bootID is "" before the boot
// script was handed out. A DHCP exchange after the script of a boot starts another boot: the agent's and the image's
// own exchanges are not to be passed in.
func (j *Journal) Phase(mac fleet.MAC, bootID string, p fleet.Phase, detail string) {
	node, ok := j.nodeOf(mac)
	if !ok {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.now()
	delete(j.unknown, mac)
	b := j.current(node, mac, bootID, p)
	b.Seen = now
	if p == fleet.PhaseScript {
		b.Failure = "" // it is not refused any more
		if b.ID == "" {
			b.ID = bootID
		}
	}
	record(b, fleet.PhaseEvent{Phase: p, At: now, Detail: detail})
	b.change = j.observed()
}

// Refused records that the machine with that MAC, a node's, asked for its script and was refused it, and why. That stands
// as the failure of its boot until it is given a script.
func (j *Journal) Refused(mac fleet.MAC, reason string) {
	node, ok := j.nodeOf(mac)
	if !ok {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.now()
	delete(j.unknown, mac)
	b := j.last(node)
	if b == nil || b.MAC != mac || reached(b, fleet.PhaseAgent) {
		b = j.add(node, fleet.Boot{Node: node, MAC: mac})
	}
	if len(b.Phases) == 0 { // whatever loaded iPXE did not ask this cluster
		record(b, fleet.PhaseEvent{Phase: fleet.PhaseLoader, At: now, Detail: "iPXE asks for its script"})
	}
	b.Seen, b.Failure = now, bounded(reason)
	b.change = j.observed()
}

// current returns the boot of node that an observation belongs to, starting another one if it must be.
func (j *Journal) current(node string, mac fleet.MAC, bootID string, p fleet.Phase) *boot {
	last := j.last(node)
	if last != nil && bootID != "" && last.ID == bootID {
		return last
	}
	switch {
	case last == nil || last.MAC != mac:
	case p == fleet.PhaseScript && last.ID == "":
		return last
	case p == fleet.PhaseScript && !reached(last, fleet.PhaseAgent):
		// The machine asked for its script again: the same power-on, under a fresh id.
		return j.add(node, fleet.Boot{Node: node, MAC: mac, Phases: slices.DeleteFunc(slices.Clone(last.Phases), func(e fleet.PhaseEvent) bool {
			return e.Phase.Order() >= fleet.PhaseScript.Order()
		})})
	case p != fleet.PhaseScript && p.Order() > fleet.PhaseScript.Order():
		return last
	case p.Order() < fleet.PhaseScript.Order() && last.ID == "":
		return last
	}
	return j.add(node, fleet.Boot{ID: bootID, Node: node, MAC: mac})
}

func (j *Journal) add(node string, fresh fleet.Boot) *boot {
	b := &boot{Boot: fresh}
	boots := append(j.boots[node], b)
	if len(boots) > maxBootsPerNode {
		boots = slices.Delete(boots, 0, len(boots)-maxBootsPerNode)
	}
	j.boots[node] = boots
	return b
}

func (j *Journal) last(node string) *boot {
	boots := j.boots[node]
	if len(boots) == 0 {
		return nil
	}
	return boots[len(boots)-1]
}

// reached reports whether b got to p or beyond.
func reached(b *boot, p fleet.Phase) bool {
	return slices.ContainsFunc(b.Phases, func(e fleet.PhaseEvent) bool { return e.Phase.Order() >= p.Order() })
}

// record puts e among b's phases. The first time of a phase counts; its detail is the newest.
func record(b *boot, e fleet.PhaseEvent) {
	if at := slices.IndexFunc(b.Phases, func(have fleet.PhaseEvent) bool { return have.Phase == e.Phase }); at >= 0 {
		if e.Detail != "" {
			b.Phases[at].Detail = e.Detail
		}
		return
	}
	if len(b.Phases) >= maxPhases || e.Phase.Order() < 0 {
		return
	}
	at := slices.IndexFunc(b.Phases, func(have fleet.PhaseEvent) bool { return have.Phase.Order() > e.Phase.Order() })
	if at < 0 {
		at = len(b.Phases)
	}
	b.Phases = slices.Insert(b.Phases, at, e)
}

// Report records what a node's agent says of its boot.
func (j *Journal) Report(node string, mac fleet.MAC, r fleet.Report) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.now()
	var b *boot
	for _, have := range j.boots[node] {
		if have.ID == r.BootID {
			b = have
		}
	}
	told := fleet.Boot{ID: r.BootID, Node: node, MAC: mac}
	for _, p := range r.Phases {
		if p.Phase.Order() >= fleet.PhaseAgent.Order() && p.Age >= 0 {
			told.Phases = append(told.Phases, fleet.PhaseEvent{Phase: p.Phase, At: now.Add(-p.Age), Detail: bounded(p.Detail)})
		}
	}
	if last := j.last(node); b == nil && last != nil && last.ID == "" && last.MAC == mac && goesOn(last.Boot, told) {
		b, last.ID = last, r.BootID // its script came from another controller, which may not live to tell
	}
	if b == nil {
		b = j.add(node, fleet.Boot{ID: r.BootID, Node: node, MAC: mac})
	}
	b.change = j.observed()
	b.Seen = now
	b.Failure = bounded(r.Failure)
	b.Swarm = r.Swarm
	for _, e := range told.Phases {
		record(b, e)
	}
}

// bounded cuts text from a node to what a journal keeps.
func bounded(s string) string {
	if len(s) > fleet.MaxReportText {
		s = s[:fleet.MaxReportText]
	}
	return s
}

// Boots returns the boots of a node that are remembered, newest first.
func (j *Journal) Boots(node string) []fleet.Boot {
	j.mu.Lock()
	defer j.mu.Unlock()
	boots := make([]fleet.Boot, 0, maxBootsPerNode)
	for _, b := range slices.Backward(j.boots[node]) {
		boots = append(boots, copyOf(b))
	}
	return boots
}

// Latest returns the newest boot of each node that has one. A machine that was refused a script does not hide a boot of
// which something was heard since: another machine has the MAC of a node that runs.
func (j *Journal) Latest() map[string]fleet.Boot {
	j.mu.Lock()
	defer j.mu.Unlock()
	latest := make(map[string]fleet.Boot, len(j.boots))
	for node, boots := range j.boots {
		b := j.last(node)
		for _, earlier := range boots {
			if b.ID == "" && b.Failure != "" && earlier.Seen.After(b.Seen) {
				b = earlier
			}
		}
		latest[node] = copyOf(b)
	}
	return latest
}

func copyOf(b *boot) fleet.Boot {
	c := b.Boot
	c.Phases = slices.Clone(b.Phases)
	return c
}

// Unknown records a request of a machine that no node claims. Of m, the times and the count are ignored.
func (j *Journal) Unknown(m fleet.UnknownMachine) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.now()
	old, seen := j.unknown[m.MAC]
	if !seen && len(j.unknown) >= maxUnknown {
		j.forgetOldestUnknown()
	}
	m.First, m.Last, m.Requests = now, now, old.Requests+1
	if seen {
		m.First = old.First
	}
	j.unknown[m.MAC] = machine{m, j.observed()}
}

func (j *Journal) forgetOldestUnknown() {
	var oldest fleet.UnknownMachine
	for _, m := range j.unknown {
		if oldest.Last.IsZero() || m.Last.Before(oldest.Last) {
			oldest = m.UnknownMachine
		}
	}
	delete(j.unknown, oldest.MAC)
}

// UnknownMachines returns the machines that no node claims now, the one heard of last first.
func (j *Journal) UnknownMachines() []fleet.UnknownMachine {
	j.mu.Lock()
	defer j.mu.Unlock()
	machines := make([]fleet.UnknownMachine, 0, len(j.unknown))
	for mac, m := range j.unknown {
		if _, claimed := j.nodeOf(mac); !claimed {
			machines = append(machines, m.UnknownMachine)
		}
	}
	slices.SortFunc(machines, func(a, b fleet.UnknownMachine) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return slices.Compare(a.MAC[:], b.MAC[:])
	})
	return machines
}

// Forget drops what is remembered of nodes for which keep is false, as after they were deleted.
func (j *Journal) Forget(keep func(node string) bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for node := range j.boots {
		if !keep(node) {
			delete(j.boots, node)
		}
	}
}
