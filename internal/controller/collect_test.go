package controller

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// gc is a controller with a clock that a test moves.
type gc struct {
	*scene
	*head
	v   fleet.ImageVersion // of no state yet
	now time.Time
}

func newGC(t *testing.T) *gc {
	t.Helper()
	g := &gc{scene: newScene(t, 1, 2, nil), now: time.Now()}
	g.head = g.scene.heads[0]
	g.v = g.head.version(t, 1, 1<<20)
	g.collector.now = func() time.Time { return g.now }
	return g
}

// after lets time pass in steps of a minute, with a look at each.
func (g *gc) after(d time.Duration) {
	for end := g.now.Add(d); ; g.now = g.now.Add(time.Minute) {
		g.collector.collect()
		if !g.now.Before(end) {
			return
		}
	}
}

// left names the blobs of g.v that are there.
func (g *gc) left() []string {
	var names []string
	for i, b := range g.v.Blobs() {
		if g.blobs.Has(b.Digest) {
			names = append(names, []string{"root", "torrent", "kernel", "initramfs"}[i])
		}
	}
	return names
}

func (g *gc) delete(t *testing.T) {
	t.Helper()
	_, err := g.Propose(t.Context(), fleet.Entry{Command: &fleet.DeleteImage{Image: "i"}})
	must(t, err)
}

func (g *gc) restart() {
	c := depotConfig{Self: g.Controller, Blobs: g.blobs, Server: g.server, Swarm: g.swarm, Log: copyOfBook{g.book, true},
		Others: func() []otherController { return nil }, Running: g.collector.running, CollectAfter: g.collector.after, Logger: g.collector.logger}
	fresh := newCollector(c, newKeeps(), newOrigin(c))
	fresh.now = g.collector.now
	g.collector = fresh
}

func TestWhatNothingNeedsIsRemovedAfterAWhile(t *testing.T) {
	all := []string{"root", "torrent", "kernel", "initramfs"}
	for name, c := range map[string]struct {
		do   func(t *testing.T, g *gc)
		want []string
	}{
		"never named, at once":     {func(_ *testing.T, g *gc) { g.after(9 * time.Minute) }, all},
		"never named, after long":  {func(_ *testing.T, g *gc) { g.after(10 * time.Minute) }, nil},
		"named":                    {func(t *testing.T, g *gc) { g.add(t, g.v); g.after(time.Hour) }, all},
		"named in the last moment": {func(t *testing.T, g *gc) { g.after(9 * time.Minute); g.add(t, g.v); g.after(time.Hour) }, all},
		"deleted, at once":         {func(t *testing.T, g *gc) { g.add(t, g.v); g.after(time.Hour); g.delete(t); g.after(9 * time.Minute) }, all},
		"deleted, after long":      {func(t *testing.T, g *gc) { g.add(t, g.v); g.after(time.Hour); g.delete(t); g.after(10 * time.Minute) }, nil},
		"deleted and named again": {func(t *testing.T, g *gc) {
			g.add(t, g.v)
			g.delete(t)
			g.after(9 * time.Minute)
			g.add(t, g.v)
			g.after(time.Hour)
		}, all},
		"held":         {func(_ *testing.T, g *gc) { g.images.keeps.hold(g.v.Kernel.Digest); g.after(time.Hour) }, []string{"kernel"}},
		"held no more": {func(_ *testing.T, g *gc) { g.images.keeps.hold(g.v.Kernel.Digest)(); g.after(time.Hour) }, nil},
		"held by two, then by one": {func(_ *testing.T, g *gc) {
			g.images.keeps.hold(g.v.Kernel.Digest)
			g.images.keeps.hold(g.v.Kernel.Digest)()
			g.after(time.Hour)
		}, []string{"kernel"}},
		"pinned": {func(_ *testing.T, g *gc) {
			g.images.keeps.pin(g.now.Add(2*time.Hour), g.v.Kernel.Digest)
			g.after(time.Hour)
		}, []string{"kernel"}},
		"pinned no more": {func(_ *testing.T, g *gc) {
			g.images.keeps.pin(g.now.Add(time.Hour), g.v.Kernel.Digest)
			g.after(2 * time.Hour)
		}, nil},
		"pinned again, for shorter": {func(_ *testing.T, g *gc) {
			g.images.keeps.pin(g.now.Add(2*time.Hour), g.v.Kernel.Digest)
			g.images.keeps.pin(g.now, g.v.Kernel.Digest)
			g.after(time.Hour)
		}, []string{"kernel"}},
		"a node runs it": {func(_ *testing.T, g *gc) { g.runs[g.v.Root.Digest] = true; g.after(time.Hour) }, []string{"root", "torrent"}},
		"a node ran it": {func(_ *testing.T, g *gc) {
			g.runs[g.v.Root.Digest] = true
			g.after(time.Hour)
			clear(g.runs)
			g.after(time.Hour)
		}, nil},
		"a node runs it, restarted": {func(_ *testing.T, g *gc) {
			g.runs[g.v.Root.Digest] = true
			g.after(time.Hour)
			g.restart()
			g.after(time.Hour)
		}, []string{"root", "torrent"}},
		"the change failed":                {func(_ *testing.T, g *gc) { g.collector.discard(digests(g.v.Blobs()...)...) }, nil},
		"a change failed of what is named": {func(t *testing.T, g *gc) { g.add(t, g.v); g.collector.discard(digests(g.v.Blobs()...)...) }, all},
		"a change failed of what was deleted just now": {func(t *testing.T, g *gc) {
			g.add(t, g.v)
			g.delete(t)
			g.after(time.Minute)
			g.collector.discard(digests(g.v.Blobs()...)...)
		}, all},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGC(t)
			c.do(t, g)
			if got := g.left(); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestARootThatANodeRunsIsBackOnOfferAfterARestart(t *testing.T) {
	g := newGC(t)
	g.runs[g.v.Root.Digest] = true
	g.after(time.Minute)
	if got := g.collector.origin.seeding().Torrents; got != 1 {
		t.Errorf("%d roots on offer, want 1", got)
	}
	clear(g.runs)
	g.after(time.Hour)
	if got := g.collector.origin.seeding().Torrents; got != 0 {
		t.Errorf("%d roots on offer after its removal, want none", got)
	}
}

func TestNothingIsRemovedWhileBlobsAreWrittenWhoseNamesAreUnknown(t *testing.T) {
	g := newGC(t)
	done, err := g.images.keeps.take(t.Context())
	must(t, err)
	g.collector.discard(g.v.Root.Digest)
	if !g.blobs.Has(g.v.Root.Digest) {
		t.Error("the root was removed")
	}
	g.scene.run(t, g.head)
	done()
	eventually(t, "the root to go", func() bool { return !g.blobs.Has(g.v.Root.Digest) })
}

func TestTheTurnIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeps()
		done, err := k.take(t.Context())
		must(t, err)
		got := make(chan func())
		go func() {
			next, _ := k.take(t.Context())
			got <- next
		}()
		synctest.Wait()
		select {
		case <-got:
			t.Error("two had the turn")
		default:
		}
		done()
		done()
		(<-got)()
	})
}
