package controller

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder/handout"
)

func (h *head) is(have, missing, corrupt int) func() bool {
	return func() bool {
		got := h.repair.counts()
		return got.have == have && got.missing == missing && got.corrupt == corrupt && len(h.repair.problems()) == missing+corrupt
	}
}

func TestWhoHasNotLookedYetDoesNotClaimToLackNothing(t *testing.T) {
	s := newScene(t, 2, 2, nil)
	a, b := s.heads[0], s.heads[1] // none of them runs
	for version := 1; version <= 2; version++ {
		s.add(t, a.version(t, byte(version), 1<<20))
		for h, want := range map[*head]census{a: {have: 4 * version}, b: {missing: 4 * version}} {
			want.revision = s.State().Revision()
			if got := h.repair.counts(); got != want {
				t.Errorf("%s with %d versions: %+v, want %+v", h.ID, version, got, want)
			}
		}
	}
}

func TestAControllerFetchesWhatItLacksBeforeItOffersIt(t *testing.T) {
	s := newScene(t, 3, 2, nil)
	a, b, c := s.heads[0], s.heads[1], s.heads[2]
	v := a.version(t, 1, 5<<20)
	c.kill() // the first source that b would ask must not be the only one
	s.run(t, a, b)
	s.add(t, v)
	eventually(t, "the blobs on b", b.is(4, 0, 0))
	b.mustHold(t, v)
	eventually(t, "the root on offer", func() bool { return b.origin.seeding().Torrents == 1 })
	if !strings.Contains(b.logs.String(), "fetched from others") {
		t.Errorf("b logged %q", b.logs)
	}
}

func TestDamageIsFoundAndMended(t *testing.T) {
	for name, find := range map[string]func(t *testing.T, b *head, v fleet.ImageVersion){
		"by the scrub": func(*testing.T, *head, fleet.ImageVersion) {},
		"by readers": func(t *testing.T, b *head, v fleet.ImageVersion) {
			for _, blob := range []fleet.Blob{v.Kernel, v.Root} {
				r, _, err := b.puller.OpenBlob(blob.Digest)
				must(t, err)
				if _, err := io.Copy(io.Discard, r); err == nil {
					t.Errorf("%s is not damaged", blob.Digest.Short())
				}
				must(t, r.Close())
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 2, 2, func(c *depotConfig) {
				if name == "by the scrub" && c.Self.ID == "b" {
					c.ScrubAfter = time.Millisecond
				}
			})
			a, b := s.heads[0], s.heads[1]
			v := a.version(t, 1, 3<<20)
			b.version(t, 1, 3<<20)
			s.add(t, v)
			b.damage(t, v.Kernel)
			b.damage(t, v.Root)
			b.origin.follow(s.State())
			find(t, b, v)
			s.run(t, a, b)
			eventually(t, "the damage to be mended", func() bool {
				return b.is(4, 0, 0)() && strings.Count(b.logs.String(), "fetched from others") == 2
			})
			b.mustHold(t, v)
			if got := b.origin.seeding().Torrents; got != 1 {
				t.Errorf("%d roots on offer, want 1", got)
			}
			for _, damaged := range []fleet.Blob{v.Kernel, v.Root} {
				if !strings.Contains(b.logs.String(), damaged.Digest.String()) {
					t.Errorf("the log does not name %s", damaged.Digest)
				}
			}
		})
	}
}

func TestACutOffFileIsMended(t *testing.T) {
	s := newScene(t, 2, 2, nil)
	a, b := s.heads[0], s.heads[1]
	v := a.version(t, 1, 2<<20)
	b.version(t, 1, 2<<20)
	s.add(t, v)
	b.cut(t, v.Initramfs)
	b.cut(t, v.Root)
	b.repair.survey()
	if !b.is(2, 0, 2)() {
		t.Errorf("counts and problems: %+v", b.repair.problems())
	}
	s.run(t, a, b)
	eventually(t, "the files to be whole", b.is(4, 0, 0))
	b.mustHold(t, v)
}

func TestAControllerThatIsAloneSaysWhatIsDamagedAndTheCure(t *testing.T) {
	s := newScene(t, 1, 2, func(c *depotConfig) { c.ScrubAfter = time.Millisecond })
	a := s.heads[0]
	v := a.version(t, 1, 2<<20)
	s.add(t, v)
	a.damage(t, v.Root)
	must(t, a.blobs.Remove(v.Kernel.Digest))
	s.run(t, a)
	eventually(t, "the damage to be found", a.is(2, 1, 1))
	for _, p := range a.repair.problems() {
		if !strings.Contains(p.What, "image i:1 cannot be served") || p.Cure != "samara image import /src i" {
			t.Errorf("problem: %+v", p)
		}
	}
	// An import writes the same blobs again.
	a.version(t, 1, 2<<20)
	a.wrote(v.Blobs()...)
	if !a.is(4, 0, 0)() {
		t.Errorf("after the cure: %+v", a.repair.problems())
	}
	if got := a.origin.seeding().Torrents; got != 1 {
		t.Errorf("%d roots on offer, want 1", got)
	}
}

func TestANodeHealsAControllerThatIsAlone(t *testing.T) {
	s := newScene(t, 1, 2, func(c *depotConfig) { c.ScrubAfter = time.Millisecond })
	a := s.heads[0]
	v := a.version(t, 1, 4<<20)
	s.add(t, v)
	node := newScene(t, 1, 2, nil).heads[0] // any server with the root
	node.version(t, 1, 4<<20)
	must(t, node.origin.offer(v.Root.Digest, v.Torrent))
	a.nodes = append(a.nodes, node.server.Addr())
	a.damage(t, v.Root)
	s.run(t, a)
	eventually(t, "the root to be mended", func() bool {
		return strings.Contains(a.logs.String(), "fetched from others") && a.is(4, 0, 0)()
	})
	a.mustHold(t, v)
}

func TestFailedTriesAreFartherAndFartherApart(t *testing.T) {
	s := newScene(t, 2, 2, nil)
	a, b := s.heads[0], s.heads[1]
	v := a.version(t, 1, 1<<20)
	s.add(t, v)
	b.repair.retry = repairRetry
	blobs := b.repair.survey()
	must(t, a.blobs.Remove(v.Torrent.Digest))
	for _, bl := range blobs {
		if bl.Digest != v.Torrent.Digest {
			continue
		}
		var last time.Duration
		for range 12 {
			before := time.Now()
			b.repair.treat(t.Context(), bl)
			b.repair.mu.Lock()
			wait := b.repair.troubles[bl.Digest].next.Sub(before)
			b.repair.mu.Unlock()
			if wait < repairRetry/2 || wait > repairLimit+time.Second || wait < last/2 {
				t.Errorf("next try after %v, the one before after %v", wait, last)
			}
			last = wait
		}
		if last < repairLimit/2 {
			t.Errorf("after many failures: %v", last)
		}
	}
	problems := b.repair.problems()
	if len(problems) == 0 || !strings.Contains(problems[0].Cure, "other controllers are asked") {
		t.Errorf("problems: %+v", problems)
	}
	for _, p := range problems {
		if strings.Contains(p.What, v.Torrent.Digest.Short()) && !strings.Contains(p.What, "from controller a") {
			t.Errorf("problem: %+v", p)
		}
	}
}

func TestWholeMembersAreSources(t *testing.T) {
	addr := newScene(t, 1, 2, nil).heads[0].server.Addr()
	got := whole([]handout.Member{
		{Addr: addr, Alive: true, Holding: handout.HoldsAll},
		{Alive: true, Holding: handout.HoldsSome},
		{Holding: handout.HoldsAll},
	})
	if len(got) != 1 || got[0] != addr {
		t.Errorf("got %v, want %v", got, addr)
	}
}

func TestAnImportEndsTheSearchForWhatItWrites(t *testing.T) {
	s := newScene(t, 2, 2, nil)
	a, b := s.heads[0], s.heads[1]
	v := b.version(t, 1, 3<<20)
	a.version(t, 1, 3<<20) // but it is in no swarm of a's: b would ask for two minutes
	s.add(t, v)
	must(t, b.blobs.Remove(v.Root.Digest))
	s.run(t, b)
	eventually(t, "b to fetch the root", func() bool {
		b.puller.mu.Lock()
		defer b.puller.mu.Unlock()
		return b.puller.busy[v.Root.Digest] != nil
	})
	b.version(t, 1, 3<<20)
	b.wrote(v.Blobs()...)
	eventually(t, "the root on offer", func() bool { return b.origin.seeding().Torrents == 1 && b.is(4, 0, 0)() })
	b.mustHold(t, v)
}

func TestASourceThatFailsIsAskedAgain(t *testing.T) {
	s := newScene(t, 2, 2, nil)
	a, b := s.heads[0], s.heads[1]
	v := a.version(t, 1, 1<<20)
	var failures atomic.Int64
	a.fault = func(fleet.Digest) error {
		if failures.Add(1) <= 5 {
			return errDead
		}
		return nil
	}
	s.add(t, v)
	s.run(t, a, b)
	eventually(t, "the blobs on b", b.is(4, 0, 0))
	if got := strings.Count(b.logs.String(), "cannot be fetched"); got == 0 || got > 4 {
		t.Errorf("%d failures logged, want one for each blob at most:\n%s", got, b.logs)
	}
}
