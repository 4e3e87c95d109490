package controller

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/raftstore"
)

func TestAVersionIsOnAllControllersWhenItIsPublished(t *testing.T) {
	s := newScene(t, 3, 2, nil)
	a := s.heads[0]
	v := a.version(t, 1, 9<<20)
	var last api.Progress
	must(t, a.publish(t, v, func(p api.Progress) {
		if p.Step == stepReplicate {
			last = p
		}
	}))
	for _, h := range s.heads {
		h.mustHold(t, v)
		if got := h.origin.seeding().Torrents; got != 1 {
			t.Errorf("controller %s offers %d roots, want 1", h.ID, got)
		}
	}
	total := 2 * (v.Root.Size + v.Torrent.Size + v.Kernel.Size + v.Initramfs.Size)
	if want := (api.Progress{Step: stepReplicate, Done: total, Total: total, Note: "3 of 3 controllers hold it"}); last != want {
		t.Errorf("last progress: got %+v, want %+v", last, want)
	}
	if _, _, err := s.State().ImageVersion(fleet.ImageRef{Name: "i", Version: 1}); err != nil {
		t.Error(err)
	}
}

func TestAVersionIsPublishedOnceAMajorityHoldsIt(t *testing.T) {
	s := newScene(t, 3, 2, nil)
	a, b, c := s.heads[0], s.heads[1], s.heads[2]
	c.kill()
	v := a.version(t, 1, 1<<20)
	must(t, a.publish(t, v, ignore))
	b.mustHold(t, v)
	if len(c.pulls) != 0 {
		t.Errorf("a dead controller was asked for %+v", c.pulls)
	}
}

func TestWithoutAMajorityNothingIsPublished(t *testing.T) {
	for name, c := range map[string]struct {
		heads int
		fail  func(s *scene)
		want  []string
	}{
		"others silent": {3, func(s *scene) { s.heads[1].kill(); s.heads[2].kill() },
			[]string{"only 1 of 3 controllers hold it, and 2 must", "controller b does not answer", "controller c does not answer"}},
		"two are no majority of four": {4, func(s *scene) { s.heads[1].kill(); s.heads[2].kill() },
			[]string{"only 2 of 4 controllers hold it, and 3 must", "controller b does not answer"}},
		"another's disk is full": {2, func(s *scene) {
			s.heads[0].fault = func(fleet.Digest) error { return unix.ENOSPC }
		}, []string{"only 1 of 2 controllers hold it", "controller b: ", "no space left"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, c.heads, 2, nil)
			a := s.heads[0]
			v := a.version(t, 1, 1<<20)
			c.fail(s)
			err := a.publish(t, v, ignore)
			if !errors.Is(err, api.ErrUnavailable) {
				t.Fatalf("got %v, want %v", err, api.ErrUnavailable)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %q, want %q in it", err, part)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %q", err)
			}
			if _, ok := s.State().Image("i"); ok {
				t.Error("it was published")
			}
			a.mustHoldNothing(t)
			if got := a.origin.seeding().Torrents; got != 0 {
				t.Errorf("%d roots on offer, want none", got)
			}
		})
	}
}

func TestAnImportIsRefusedBeforeItsWorkIfTooFewControllersAnswer(t *testing.T) {
	s := newScene(t, 3, 2, nil)
	s.heads[1].kill()
	if err := s.heads[0].images.answering("image i"); err != nil {
		t.Errorf("two of three answer: %v", err)
	}
	s.heads[2].kill()
	_, err := s.heads[0].images.Import(t.Context(), api.ImportRequest{Name: "i", Path: "/nonexistent"}, func(p api.Progress) {
		t.Errorf("it has begun: %+v", p)
	})
	if !errors.Is(err, api.ErrUnavailable) {
		t.Fatalf("got %v, want %v", err, api.ErrUnavailable)
	}
	for _, part := range []string{"image i", "1 of 3 controllers answer", "start samara on b, c", "samara controller remove"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want %q in it", err, part)
		}
	}
}

func TestWhoHoldsAVersionIsToldOnlyWhereTheLogKnowsOfIt(t *testing.T) {
	for format, want := range map[int][]string{1: nil, 2: {"a", "b"}} {
		s := newScene(t, 2, format, nil)
		seen := &spy{copyOfBook: copyOfBook{book: s.book}}
		a := s.heads[0]
		a.images.log = seen
		must(t, a.publish(t, a.version(t, 1, 1<<20), ignore))
		if !slices.Equal(seen.holders, want) {
			t.Errorf("format %d: holders %v, want %v", format, seen.holders, want)
		}
		s.heads[1].mustHold(t, s.version(t))
	}
}

// A spy takes note of the holders that are proposed.
type spy struct {
	copyOfBook
	holders []string
}

func (s *spy) Propose(ctx context.Context, e fleet.Entry) (fleet.Revision, error) {
	s.holders = e.Command.(*fleet.AddImageVersion).Holders
	return s.copyOfBook.Propose(ctx, e)
}

// version returns the only version of image "i".
func (s *scene) version(t *testing.T) fleet.ImageVersion {
	t.Helper()
	_, v, err := s.State().ImageVersion(fleet.ImageRef{Name: "i"})
	must(t, err)
	return v
}

func TestWhatMayBeCommittedYetKeepsItsBlobs(t *testing.T) {
	s := newScene(t, 1, 2, nil)
	a := s.heads[0]
	v := a.version(t, 1, 1<<20)
	s.refuse = raftstore.ErrUncertain
	if err := a.publish(t, v, ignore); !errors.Is(err, raftstore.ErrUncertain) {
		t.Fatal(err)
	}
	a.mustHold(t, v)
	s.refuse = fleet.ErrConflict
	w := a.version(t, 9, 1<<20)
	if err := a.publish(t, w, ignore); !errors.Is(err, fleet.ErrConflict) {
		t.Fatal(err)
	}
	if a.blobs.Has(w.Root.Digest) {
		t.Error("what was refused is still there")
	}
	a.mustHold(t, v)
}

func TestAnImportThatEndsStopsThePulls(t *testing.T) {
	s := newScene(t, 2, 2, nil)
	a, b := s.heads[0], s.heads[1]
	v := a.version(t, 1, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	under := make(chan struct{})
	var once sync.Once
	a.fault = func(fleet.Digest) error { // b gets no small blob before the end
		once.Do(func() { close(under) })
		<-ctx.Done()
		return errDead
	}
	go func() {
		<-under
		cancel()
	}()
	if _, err := a.images.publish(ctx, api.ImportRequest{Name: "i"}, v, func() {}, ignore); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	a.images.pulls.Wait()
	b.mustHoldNothing(t)
}

func TestTheRestGoesOnAfterAMajority(t *testing.T) {
	s := newScene(t, 3, 2, nil)
	a, b, c := s.heads[0], s.heads[1], s.heads[2]
	c.gate = make(chan struct{})
	v := a.version(t, 1, 1<<20)
	var last api.Progress
	must(t, a.publish(t, v, func(p api.Progress) {
		if p.Note != "" {
			last = p
		}
	}))
	if want := "2 of 3 controllers hold it"; last.Note != want {
		t.Errorf("got %q, want %q", last.Note, want)
	}
	b.mustHold(t, v)
	if c.holds(v) {
		t.Error("c was waited for")
	}
	close(c.gate)
	a.images.pulls.Wait()
	c.mustHold(t, v)
}

func TestPullsEndWithTheController(t *testing.T) {
	s := newScene(t, 3, 2, nil)
	a, c := s.heads[0], s.heads[2]
	c.gate = make(chan struct{}) // which never ends
	v := a.version(t, 1, 1<<20)
	must(t, a.publish(t, v, ignore))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, a.images.run(ctx))
	if err := a.publish(t, a.version(t, 9, 1<<20), ignore); !errors.Is(err, api.ErrUnavailable) {
		t.Errorf("after the end: got %v, want %v", err, api.ErrUnavailable)
	}
}

func TestOnlyTheLeaderRenewsInitramfs(t *testing.T) {
	var mu sync.Mutex
	built := map[string]int{} // attempts, by controller
	s := newScene(t, 2, 2, func(c *depotConfig) {
		id := c.Self.ID
		c.Agent = func(string) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			built[id]++
			return []byte("agent of " + id), nil
		}
	})
	a, b := s.heads[0], s.heads[1]
	stale, fresh := a.version(t, 1, 1<<20), a.version(t, 10, 1<<20)
	fresh.Agent = sha256.Sum256([]byte("agent of a"))
	s.add(t, stale)
	s.add(t, fresh)
	s.run(t, a, b)
	eventually(t, "the leader to try", func() bool { return strings.Contains(a.logs.String(), "cannot renew") })
	eventually(t, "b to fetch all", b.is(8, 0, 0))
	mu.Lock()
	defer mu.Unlock()
	if built["a"] == 0 || built["b"] != 0 {
		t.Errorf("tries: %v, want some of a and none of b", built)
	}
	if log := a.logs.String(); strings.Count(log, "cannot renew") != 1 || !strings.Contains(log, "i:1") {
		t.Errorf("the root of neither version is a squashfs, and only i:1 has another agent: a logged %s", log)
	}
}

func TestAnInitramfsIsOnAMajorityWhenItIsSet(t *testing.T) {
	s := newScene(t, 3, 2, nil)
	a, b, c := s.heads[0], s.heads[1], s.heads[2]
	s.add(t, a.version(t, 1, 1<<20))
	c.kill()
	made := a.put(t, noise(99, 1<<20))
	must(t, a.images.setInitramfs(t.Context(), &fleet.SetInitramfs{Image: "i", Version: 1, Initramfs: made, Agent: fleet.Digest{1}}))
	if got := s.version(t).Initramfs; got != made {
		t.Errorf("got %v, want %v", got, made)
	}
	must(t, b.blobs.Verify(t.Context(), made.Digest))
	b.kill()
	other := a.put(t, noise(98, 1<<20))
	err := a.images.setInitramfs(t.Context(), &fleet.SetInitramfs{Image: "i", Version: 1, Initramfs: other, Agent: fleet.Digest{2}})
	if !errors.Is(err, api.ErrUnavailable) || s.version(t).Initramfs != made {
		t.Errorf("got %v and %v, want %v and no change", err, s.version(t).Initramfs, api.ErrUnavailable)
	}
}
