package observe

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// News is what one controller observed, for the others. Controllers tell each other only of boots and machines that
// they themselves saw something of, so that nothing goes round.
type News struct {
	Boots   []fleet.Boot           // whole, as the controller knows them
	Unknown []fleet.UnknownMachine // likewise
	Next    uint64                 // the change up to which this tells; ask from there next
}

// maxNews bounds the boots in one News.
const maxNews = 2000

// How two controllers may have seen parts of one boot: they began within sameBoot of each other, and no phase came before
// an earlier one by more than clockGap, which is what their clocks may differ.
const (
	sameBoot = 10 * time.Minute
	clockGap = 2 * time.Second
)

// Since returns what this controller observed after the change numbered after; 0 asks for everything. If there is
// nothing it waits for it until ctx ends, and then returns nothing.
func (j *Journal) Since(ctx context.Context, after uint64) News {
	for {
		j.mu.Lock()
		news, changed := j.news(after), j.changed
		j.mu.Unlock()
		if news.Next != after {
			return news
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return news
		}
	}
}

// news returns what was observed after a change. The caller holds j.mu.
func (j *Journal) news(after uint64) News {
	n := News{Next: j.changes}
	if j.changes == after {
		return n
	}
	var fresh []*boot
	for _, boots := range j.boots {
		for _, b := range boots {
			if b.change > after {
				fresh = append(fresh, b)
			}
		}
	}
	slices.SortFunc(fresh, func(a, b *boot) int { return cmp.Compare(a.change, b.change) })
	if len(fresh) > maxNews {
		fresh = fresh[:maxNews]
		n.Next = fresh[maxNews-1].change
	}
	for _, b := range fresh {
		n.Boots = append(n.Boots, copyOf(b))
	}
	for _, m := range j.unknown {
		if m.change > after && m.change <= n.Next {
			n.Unknown = append(n.Unknown, m.UnknownMachine)
		}
	}
	return n
}

// Learn takes in what another controller observed. Of phases that both saw, the earlier time counts; of what changes,
// what was seen last.
func (j *Journal) Learn(n News) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, told := range n.Boots {
		if node, ok := j.nodeOf(told.MAC); ok && node == told.Node {
			delete(j.unknown, told.MAC)
			j.merge(told)
		}
	}
	for _, told := range n.Unknown {
		if _, claimed := j.nodeOf(told.MAC); !claimed {
			j.mergeUnknown(told)
		}
	}
}

// merge puts what was told of a boot to what is known of it. The caller holds j.mu.
func (j *Journal) merge(told fleet.Boot) {
	b := j.sameAs(told)
	if b == nil {
		b = j.insert(told)
		if b == nil {
			return
		}
	}
	if b.ID == "" {
		b.ID = told.ID
	}
	for _, e := range told.Phases {
		at := slices.IndexFunc(b.Phases, func(have fleet.PhaseEvent) bool { return have.Phase == e.Phase })
		if at >= 0 && e.At.Before(b.Phases[at].At) {
			b.Phases[at].At = e.At
		}
		record(b, e)
	}
	if told.Seen.After(b.Seen) {
		b.Seen, b.Failure, b.Swarm = told.Seen, bounded(told.Failure), told.Swarm
	}
}

// sameAs returns the boot that told is about, or nil. A boot has no id before its script: then it is the one whose
// phases fit in time.
func (j *Journal) sameAs(told fleet.Boot) *boot {
	for _, b := range slices.Backward(j.boots[told.Node]) {
		switch {
		case b.ID != "" && told.ID != "":
			if b.ID == told.ID {
				return b
			}
		case b.MAC == told.MAC && goesOn(b.Boot, told):
			return b
		}
	}
	return nil
}

// goesOn reports whether two pictures of boots, at most one of them with an id, are of one boot: whether the phases of both
// together come one after the other.
func goesOn(a, b fleet.Boot) bool {
	if len(a.Phases) == 0 || len(b.Phases) == 0 || began(a).Sub(began(b)).Abs() >= sameBoot {
		return false
	}
	for _, x := range a.Phases {
		for _, y := range b.Phases {
			gap := y.At.Sub(x.At)
			if order := y.Phase.Order() - x.Phase.Order(); order > 0 && gap < -clockGap || order < 0 && gap > clockGap {
				return false
			}
		}
	}
	return true
}

// insert adds a boot that this controller saw nothing of, in its place by when it began. It returns nil if it is older
// than all that are kept.
func (j *Journal) insert(told fleet.Boot) *boot {
	boots := j.boots[told.Node]
	at := len(boots)
	for at > 0 && began(boots[at-1].Boot).After(began(told)) {
		at--
	}
	if at == 0 && len(boots) >= maxBootsPerNode {
		return nil
	}
	b := &boot{Boot: fleet.Boot{ID: told.ID, Node: told.Node, MAC: told.MAC}}
	boots = slices.Insert(boots, at, b)
	if len(boots) > maxBootsPerNode {
		boots = slices.Delete(boots, 0, len(boots)-maxBootsPerNode)
	}
	j.boots[told.Node] = boots
	return b
}

// began returns when the first phase of a boot was seen.
func began(b fleet.Boot) time.Time {
	if len(b.Phases) == 0 {
		return b.Seen
	}
	return b.Phases[0].At
}

// mergeUnknown puts what was told of a machine to what is known of it. The caller holds j.mu.
func (j *Journal) mergeUnknown(told fleet.UnknownMachine) {
	have, seen := j.unknown[told.MAC]
	if !seen {
		if len(j.unknown) >= maxUnknown {
			j.forgetOldestUnknown()
		}
		j.unknown[told.MAC] = machine{UnknownMachine: told}
		return
	}
	if told.First.Before(have.First) {
		have.First = told.First
	}
	if told.Last.After(have.Last) {
		change, first, requests := have.change, have.First, max(have.Requests, told.Requests)
		have = machine{told, change}
		have.First, have.Requests = first, requests
	}
	j.unknown[told.MAC] = have
}
