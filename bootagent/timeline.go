package bootagent

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A timeline remembers how far this boot has come and what holds it up. Its methods may be called from any goroutine.
type timeline struct {
	changed chan struct{} // holds a value when something happened since it was last received from

	mu      sync.Mutex
	reached []reached
	failure string
}

type reached struct {
	phase  fleet.Phase
	at     time.Time
	detail string
}

func newTimeline() *timeline { return &timeline{changed: make(chan struct{}, 1)} }

// reach notes that the boot came to phase, and that nothing holds it up. A phase reached again counts from then.
func (t *timeline) reach(phase fleet.Phase, detail string) { t.reachAt(phase, time.Now(), detail) }

// reachAt is reach for a moment that has passed.
func (t *timeline) reachAt(phase fleet.Phase, at time.Time, detail string) {
	t.mu.Lock()
	t.reached = slices.DeleteFunc(t.reached, func(r reached) bool { return r.phase == phase })
	t.reached = append(t.reached, reached{phase, at, clip(detail)})
	t.failure = ""
	t.mu.Unlock()
	t.notify()
}

// has says whether phase was reached.
func (t *timeline) has(phase fleet.Phase) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.reached, func(r reached) bool { return r.phase == phase })
}

// fail notes what holds the boot up, "" if nothing does any more, and reports whether that is news.
func (t *timeline) fail(reason string) bool {
	reason = clip(reason)
	t.mu.Lock()
	same := t.failure == reason
	t.failure = reason
	t.mu.Unlock()
	if !same {
		t.notify()
	}
	return !same
}

func (t *timeline) notify() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// report returns all that is known, as of now.
func (t *timeline) report(bootID string, swarm fleet.SwarmReport) fleet.Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := fleet.Report{BootID: bootID, Failure: t.failure, Swarm: swarm, Phases: []fleet.PhaseReport{}}
	for _, p := range t.reached {
		r.Phases = append(r.Phases, fleet.PhaseReport{Phase: p.phase, Age: time.Since(p.at), Detail: p.detail})
	}
	return r
}

// clip makes text fit into a report.
func clip(text string) string {
	text = strings.ToValidUTF8(strings.Map(printable, text), "?")
	if len(text) <= fleet.MaxReportText {
		return text
	}
	return strings.ToValidUTF8(text[:fleet.MaxReportText-len("…")], "") + "…"
}
