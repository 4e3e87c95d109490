package observe

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A pair is two controllers' journals with one clock.
type pair struct {
	a, b *Journal
	seen map[*Journal]uint64 // up to which the other has been told
}

func newPair() *pair {
	nodeOf := func(m fleet.MAC) (string, bool) { return "n1", m == mac1 }
	return &pair{a: New(nodeOf, time.Now), b: New(nodeOf, time.Now), seen: map[*Journal]uint64{}}
}

// talk tells each what the other observed.
func (p *pair) talk() {
	for from, to := range map[*Journal]*Journal{p.a: p.b, p.b: p.a} {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		news := from.Since(ended, p.seen[from])
		p.seen[from] = news.Next
		to.Learn(news)
	}
}

var mac1 = fleet.MAC{2, 0, 0, 0, 0, 1}

func TestControllersTellOneStory(t *testing.T) {
	report := func(j *Journal, id string, have int64, phases ...fleet.Phase) {
		r := fleet.Report{BootID: id, Swarm: fleet.SwarmReport{Have: have}}
		for _, p := range phases {
			r.Phases = append(r.Phases, fleet.PhaseReport{Phase: p, Age: time.Second})
		}
		j.Report("n1", mac1, r)
	}
	for name, c := range map[string]struct {
		story func(p *pair)
		want  []fleet.Phase // of the newest boot
		id    string
		boots int
	}{
		"each sees a part": {func(p *pair) {
			p.a.Phase(mac1, "", fleet.PhaseDHCP, "")
			time.Sleep(time.Second)
			p.b.Phase(mac1, "x", fleet.PhaseScript, "")
			time.Sleep(time.Second)
			p.a.Phase(mac1, "", fleet.PhaseKernel, "")
			time.Sleep(time.Second)
			report(p.b, "x", 7, fleet.PhaseAgent)
		}, []fleet.Phase{fleet.PhaseDHCP, fleet.PhaseScript, fleet.PhaseKernel, fleet.PhaseAgent}, "x", 1},
		"one refuses, the other does not": {func(p *pair) {
			p.a.Refused(mac1, "no blob here")
			time.Sleep(time.Second)
			p.a.Refused(mac1, "no blob here")
			time.Sleep(time.Second)
			p.b.Phase(mac1, "x", fleet.PhaseScript, "")
		}, []fleet.Phase{fleet.PhaseLoader, fleet.PhaseScript}, "x", 1},
		"the agent goes to the other": {func(p *pair) {
			p.a.Phase(mac1, "", fleet.PhaseDHCP, "")
			p.a.Phase(mac1, "x", fleet.PhaseScript, "")
			time.Sleep(time.Second)
			report(p.a, "x", 1, fleet.PhaseAgent)
			time.Sleep(time.Second)
			report(p.b, "x", 9, fleet.PhaseAgent, fleet.PhaseManifest)
		}, []fleet.Phase{fleet.PhaseDHCP, fleet.PhaseScript, fleet.PhaseAgent, fleet.PhaseManifest}, "x", 1},
		"the one with the script dies": {func(p *pair) {
			p.b.Phase(mac1, "", fleet.PhaseKernel, "")
			time.Sleep(time.Second)
			p.b.Phase(mac1, "", fleet.PhaseInitramfs, "")
			time.Sleep(9 * time.Second)
			report(p.b, "x", 1, fleet.PhaseAgent)
			time.Sleep(time.Second)
			report(p.a, "x", 2, fleet.PhaseAgent, fleet.PhaseManifest)
		}, []fleet.Phase{fleet.PhaseKernel, fleet.PhaseInitramfs, fleet.PhaseAgent, fleet.PhaseManifest}, "x", 1},
		"a slow kernel from another": {func(p *pair) {
			p.a.Phase(mac1, "", fleet.PhaseDHCP, "")
			p.a.Phase(mac1, "x", fleet.PhaseScript, "")
			time.Sleep(time.Minute)
			p.b.Phase(mac1, "", fleet.PhaseKernel, "")
			time.Sleep(time.Second)
		}, []fleet.Phase{fleet.PhaseDHCP, fleet.PhaseScript, fleet.PhaseKernel}, "x", 1},
		"two boots, one at each": {func(p *pair) {
			p.a.Phase(mac1, "", fleet.PhaseDHCP, "")
			p.a.Phase(mac1, "x", fleet.PhaseScript, "")
			report(p.a, "x", 1, fleet.PhaseAgent)
			time.Sleep(time.Hour)
			p.b.Phase(mac1, "", fleet.PhaseDHCP, "")
			p.b.Phase(mac1, "y", fleet.PhaseScript, "")
		}, []fleet.Phase{fleet.PhaseDHCP, fleet.PhaseScript}, "y", 2},
	} {
		for when, often := range map[string]bool{"told at the end": false, "told at once": true} {
			t.Run(name+", "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newPair()
					if often {
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						follow(ctx, p.a, p.b)
						follow(ctx, p.b, p.a)
					}
					c.story(p)
					synctest.Wait()
					p.talk()
					p.talk()
					a, b := p.a.Boots("n1"), p.b.Boots("n1")
					if !reflect.DeepEqual(a, b) {
						t.Errorf("they differ:\n%+v\n%+v", a, b)
					}
					if len(a) != c.boots {
						t.Fatalf("got %d boots, want %d: %+v", len(a), c.boots, a)
					}
					var phases []fleet.Phase
					for _, e := range a[0].Phases {
						phases = append(phases, e.Phase)
					}
					if !reflect.DeepEqual(phases, c.want) || a[0].ID != c.id {
						t.Errorf("newest boot: got %s %v, want %s %v", a[0].ID, phases, c.id, c.want)
					}
				})
			})
		}
	}
}

// follow tells to all that from observes, as it does, until ctx ends.
func follow(ctx context.Context, from, to *Journal) {
	go func() {
		for after := uint64(0); ctx.Err() == nil; {
			news := from.Since(ctx, after)
			after = news.Next
			to.Learn(news)
		}
	}()
}

func TestNewsDoNotGoRound(t *testing.T) {
	p := newPair()
	p.a.Phase(mac1, "", fleet.PhaseDHCP, "")
	p.a.Unknown(fleet.UnknownMachine{MAC: fleet.MAC{2, 9}})
	p.talk()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if news := p.b.Since(ended, 0); len(news.Boots)+len(news.Unknown) > 0 {
		t.Errorf("it repeats what it was told: %+v", news)
	}
	if got := p.b.UnknownMachines(); len(got) != 1 {
		t.Errorf("unknown machines: got %+v, want 1", got)
	}
}

func TestNewsAreBounded(t *testing.T) {
	nodes := map[fleet.MAC]string{}
	j := New(func(m fleet.MAC) (string, bool) { n, ok := nodes[m]; return n, ok }, time.Now)
	for i := range maxNews + 10 {
		m := fleet.MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}
		nodes[m] = m.String()
		j.Phase(m, "", fleet.PhaseDHCP, "")
	}
	got := map[string]bool{}
	for after := uint64(0); len(got) < len(nodes); {
		news := j.Since(t.Context(), after)
		if len(news.Boots) > maxNews || len(news.Boots) == 0 {
			t.Fatalf("%d boots at once after %d, want 1 to %d", len(news.Boots), after, maxNews)
		}
		for _, b := range news.Boots {
			got[b.Node] = true
		}
		after = news.Next
	}
}
